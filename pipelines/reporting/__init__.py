"""Pages, pictures and volumes that a person opens."""
