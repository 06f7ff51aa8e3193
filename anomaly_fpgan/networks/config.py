"""Size of the networks."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from anomaly_fpgan.translate import OutputRule

DomainHead = Literal["image", "patch"]
SourceHead = Literal["shared", "by_domain"]
GeneratorStart = Literal["random", "identity"]


class NetworkConfig(BaseModel):
    """Size of the networks and their output rule. The defaults are the paper's sizes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    generator_width: int = Field(default=64, ge=1)
    """Features of the generator's first layer."""
    residual_blocks: int = Field(default=6, ge=0)
    """Residual blocks of the generator."""
    generator_margin: int = Field(default=0, ge=0)
    """Pixels of background that the generator sees around the image. Where an organ touches the edge of the image, the
    padding of convolutions would show in the delta."""
    generator_start: GeneratorStart = "random"
    """`random`: the delta of a fresh generator is noise. `identity`: it is 0, so that every image begins as a fixed
    point, and no noise teaches the critic."""
    neighbor_mm: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Distance of the slices before and after that the networks see beside each slice; 0 shows none. All three are
    translated, the middle one counts."""
    mirror_averaging: bool = False
    """A trained model gives the mean of an image's translation and of its mirror image's, mirrored back."""
    discriminator_width: int = Field(default=64, ge=1)
    """Features of the discriminator's first layer."""
    discriminator_depth: int = Field(default=6, ge=1)
    """Halvings of the resolution in the discriminator."""
    domain_head: DomainHead = "image"
    """`image`: domains are read off the whole image, as in the paper. `patch`: off the patches that show each most
    clearly, wherever they lie, so that the outline and the height of a slice tell less."""
    source_head: SourceHead = "shared"
    """`shared`: one score says how real an image is, as in the patent. `by_domain`: how real as one of its domain, so
    that a translation to healthy is held against healthy images alone."""
    output_rule: OutputRule = "additive"
    """How the delta meets the image; see `anomaly_fpgan.translate`."""

    @property
    def slices_seen(self) -> int:
        """Slices that make up what the networks call an image, their channels one after the other."""
        return 3 if self.neighbor_mm else 1

    @property
    def middle_slice(self) -> int:
        """Which of them is the one that is translated; the others are its neighbors."""
        return self.slices_seen // 2
