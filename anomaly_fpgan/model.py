"""`FixedPointGAN`: a trained model as users hold it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from anomaly_fpgan.atomic import write_atomically
from anomaly_fpgan.device import Precision, autocast, choose_device
from anomaly_fpgan.domains import DomainScheme
from anomaly_fpgan.errors import ModelError, check_format
from anomaly_fpgan.networks.config import NetworkConfig
from anomaly_fpgan.networks.generator import Generator
from anomaly_fpgan.translate import MeanTranslator, Translator, to_network_range, to_stored_range

MODEL_FORMAT = 2
MODEL_FILE = "model.safetensors"

Images = TypeVar("Images", np.ndarray, Tensor)


class FixedPointGAN:
    """Translates images between domains.

    Args:
        image_shape: (C, H, W) that the networks were trained on, C of all the slices that they see at once; C must
            match at use, H and W may differ.
        domains: what an image can be.
        networks: size of the generator.
        precision: what it was trained in, and translates in.
        metadata: plain values that travel with the weights, such as how images were prepared.
        members: generators, whose translations are averaged.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        domains: DomainScheme,
        networks: NetworkConfig,
        *,
        precision: Precision = "auto",
        metadata: Mapping[str, Any] | None = None,
        members: int = 1,
    ) -> None:
        self.image_shape = image_shape
        self.domains = domains
        self.networks = networks
        self.precision = precision
        self.metadata = dict(metadata or {})
        self.members = members
        translators = [build_translator(image_shape, domains, networks) for _ in range(members)]
        self.translator: Translator | MeanTranslator = translators[0] if members == 1 else MeanTranslator(translators)
        self.translator.eval()

    @classmethod
    def load(cls, run: Path | str, *, device: str = "auto") -> FixedPointGAN:
        """Load `model.safetensors`, given itself or the folder of its run.

        Raises:
            ModelError: when there is no model, or the file is damaged, foreign or of a newer format.
        """
        path = Path(run)
        if path.is_dir():
            path = path / MODEL_FILE
        if not path.is_file():
            problem = f"holds no {MODEL_FILE}" if path.parent.is_dir() else "does not exist"
            raise ModelError(f"{problem}; give a folder that `fpgan train` wrote", path=run)
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads((file.metadata() or {}).get("fpgan", "null"))
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
        except (SafetensorError, OSError, ValueError) as error:
            raise ModelError("is damaged or not a model file; train or copy it again", path=path) from error
        version = header.get("format") if isinstance(header, dict) else None
        check_format(version, MODEL_FORMAT, kind="model", path=path)
        if header.get("sha256") != _digest(weights):
            raise ModelError("is damaged: its weights are not those that were saved; copy it again", path=path)
        try:
            channels, height, width = header["image_shape"]
            model = cls(
                (channels, height, width),
                DomainScheme(**header["domains"]),
                NetworkConfig(**header["networks"]),
                precision=header["precision"],
                metadata=header["metadata"],
                members=header.get("members", 1),
            )
            model.translator.load_state_dict(weights)
        except (KeyError, TypeError, ValidationError, RuntimeError) as error:
            raise ModelError("does not fit this version of the program; train it again", path=path) from error
        model.translator.to(choose_device(device))
        return model

    @classmethod
    def combine(cls, models: Sequence[FixedPointGAN], metadata: Mapping[str, Any]) -> FixedPointGAN:
        """One model whose translations are the mean of those of two or more; it takes as long as all of them.

        Raises:
            ValueError: when images, domains, networks or precision of the models differ, or one is such a mean itself.
        """
        if len(models) < 2 or any(model.members > 1 for model in models):
            raise ValueError("`models` must be two or more, each of one generator")
        first = models[0]
        for name in ("image_shape", "domains", "networks", "precision"):
            if any(getattr(model, name) != getattr(first, name) for model in models):
                raise ValueError(f"`models` must have the same `{name}`")
        mean = cls(
            first.image_shape,
            first.domains,
            first.networks,
            precision=first.precision,
            metadata=metadata,
            members=len(models),
        )
        mean.translator.load_state_dict(MeanTranslator(model.translator for model in models).state_dict())
        mean.translator.to(next(first.translator.parameters()).device)
        return mean

    def save(self, path: Path | str) -> None:
        """Write weights and metadata to one safetensors file, whole or not at all."""
        header = {
            "format": MODEL_FORMAT,
            "image_shape": self.image_shape,
            "domains": self.domains.model_dump(mode="json"),
            "networks": self.networks.model_dump(mode="json"),
            "precision": self.precision,
            "metadata": self.metadata,
            "members": self.members,
        }
        weights = {name: tensor.contiguous() for name, tensor in self.translator.state_dict().items()}
        text = json.dumps({**header, "sha256": _digest(weights)}, sort_keys=True)
        content = save(weights, {"fpgan": text})  # the library's own files are for their owner's eyes alone
        write_atomically(Path(path), lambda temporary: temporary.write_bytes(content))

    def translate(
        self,
        slices: Images,
        domain: str | Iterable[str] = "healthy",
        *,
        neighbors: np.ndarray | None = None,
        batch_size: int = 64,
    ) -> Images:
        """Translate images (S, C, H, W) in [0, 1] to `domain`.

        Args:
            slices: array or tensor of floats; the result is of the same kind, float32, on the CPU.
            domain: a domain's name; for attributes, the names of all that shall hold, `"healthy"` for none of them.
            neighbors: which of `slices` each of N translations is made of, (N, 3) int: the slice before, its own, the
                one after, as `data_prep.neighbors` gives them. Other models than those with `networks.neighbor_mm` need
                none, or (N, 1).
            batch_size: images translated at once; half as many where a GPU has not enough memory.

        Returns:
            (N, C, H, W), of the middle slices of `neighbors`; of all slices without it.

        Raises:
            ValueError: for an unknown domain, images or neighbors of the wrong shape, or neighbors missing.
        """
        count = len(slices if neighbors is None else neighbors)
        label = self.domains.healthy_label() if domain == "healthy" else self.domains.encode(domain)
        return self.translate_labels(slices, label.expand(count, -1), neighbors=neighbors, batch_size=batch_size)

    def translate_labels(
        self,
        slices: Images,
        labels: np.ndarray | Tensor,
        *,
        neighbors: np.ndarray | None = None,
        batch_size: int = 64,
    ) -> Images:
        """Translate each image to its own target: `labels` is (N, K); the rest is as in `translate`."""
        seen = self.networks.slices_seen
        channels = self.image_shape[0] // seen
        if slices.ndim != 4 or slices.shape[1] != channels:
            raise ValueError(f"`slices` must be (S, {channels}, H, W), got {tuple(slices.shape)}")
        if neighbors is None and seen > 1:
            raise ValueError("this model sees slices beside each slice: give `neighbors`, see `data_prep.neighbors`")
        if neighbors is None:
            neighbors = np.arange(len(slices))[:, None]
        if neighbors.ndim != 2 or neighbors.shape[1] != seen:
            raise ValueError(f"`neighbors` must be (N, {seen}), got {neighbors.shape}")
        try:
            return self._translate(slices, labels, neighbors, batch_size)
        except torch.OutOfMemoryError:
            if batch_size == 1:
                raise
        return self.translate_labels(slices, labels, neighbors=neighbors, batch_size=batch_size // 2)

    def _translate(self, slices: Images, labels: np.ndarray | Tensor, neighbors: np.ndarray, batch_size: int) -> Images:
        parameter = next(self.translator.parameters())
        images: Tensor = torch.as_tensor(slices)
        targets, rows = torch.as_tensor(labels), torch.as_tensor(neighbors)
        results = torch.empty((len(rows), *images.shape[1:]), dtype=torch.float32)
        with torch.inference_mode(), autocast(parameter.device, self.precision):
            for start in range(0, len(rows), batch_size):
                part = slice(start, start + batch_size)
                together = images[rows[part]].flatten(1, 2)
                batch = to_network_range(together.to(parameter.device, torch.float32))
                label = targets[part].to(parameter.device, torch.float32)
                translated = self.translator(batch, label)
                if self.networks.mirror_averaging:
                    translated = (translated + self.translator(batch.flip(-1), label).flip(-1)) / 2
                middle = translated.unflatten(1, (rows.shape[1], -1))[:, self.networks.middle_slice]
                results[part] = to_stored_range(middle).cpu()
        return results.numpy() if isinstance(slices, np.ndarray) else results


def _digest(weights: Mapping[str, Tensor]) -> str:
    """Changes with any byte of the weights, for which the file itself has no checksum."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(weights[name].cpu().numpy().tobytes())
    return digest.hexdigest()


def build_translator(image_shape: tuple[int, int, int], domains: DomainScheme, networks: NetworkConfig) -> Translator:
    """A generator of the given size under its output rule, with fresh weights."""
    generator = Generator(
        image_shape[0],
        len(domains),
        base_width=networks.generator_width,
        residual_blocks=networks.residual_blocks,
        margin=networks.generator_margin,
        start=networks.generator_start,
    )
    return Translator(generator, networks.output_rule, slices=networks.slices_seen)
