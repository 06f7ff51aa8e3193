"""Files in, a prepared cohort out: readers, layouts, preparation and the embedded cohort."""
