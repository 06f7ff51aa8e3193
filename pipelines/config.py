"""Presets, configuration files and `--set`, checked key by key."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from anomaly_fpgan.training.config import TrainingConfig
from evaluation.maps import MapSettings
from evaluation.protocol import Protocol
from pipelines.errors import UsageError

Settings = TypeVar("Settings", bound=BaseModel)
CONFIG_FILE = "config.yaml"
"""Of a run's folder: the settings that repeat it."""
_GO_ON = ("adopt", "few")
"""Presets that say only what differs from the run to start from."""


class ValidationSettings(BaseModel):
    """How the validation patients choose the model to keep."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    choose_by: Literal["auto", "auc", "aucp", "last"] = "auto"
    """`auc` of healthy against diseased slices; `aucp` of healthy slices against those of patients without label or
    mask; `last` keeps the last model; `auto` takes the first of the three that the cohort allows."""
    mixed_healthy_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of the unlabeled slices believed to be healthy; changes the value of `aucp`, not the model it chooses."""


class RunConfig(BaseModel):
    """What `config.yaml` of a run holds: enough to repeat it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    training: TrainingConfig = TrainingConfig()
    """Every setting of the training."""
    validation: ValidationSettings = ValidationSettings()
    """How its model is chosen."""
    maps: MapSettings = MapSettings()
    """How maps are made of its changes, in validation, evaluations and reports."""
    cohort: str | None = None
    """Folder of the cohort that was trained on."""
    cohort_digest: str | None = None
    """Says whether a cohort is that one: same patients, images, splits and preparation."""
    also: tuple[str, ...] = ()
    """Folders of further cohorts whose training slices were trained on, too."""
    also_digests: tuple[str, ...] = ()
    """Of these, in the same order."""
    start_from: Path | None = None
    """Folder of the run with whose weights this one began."""


def preset_names() -> list[str]:
    """Names of the presets that come with the package."""
    return sorted(path.name.removesuffix(".yaml") for path in _preset_folder().iterdir() if path.name.endswith(".yaml"))


def load_config(
    *,
    preset: str | None = None,
    file: Path | None = None,
    overrides: Sequence[str] = (),
    start_from: Path | None = None,
) -> RunConfig:
    """Settings from a preset or a file, changed by `key=value` overrides.

    What none of them says is as in the run `start_from`, with whose weights the training is to begin, and else the
    default.

    Raises:
        UsageError: for an unknown preset, one that needs a run to start from, an unreadable file, an unknown key (with
            the nearest known one) or a value that a setting does not allow.
    """
    if preset and file:
        raise UsageError("give a preset or a configuration file, not both")
    if preset in _GO_ON and start_from is None:
        raise UsageError(f"the preset {preset} goes on from another run; name it with --start-from RUN")
    values: dict[str, Any] = {}
    if preset:
        values = _parse(_preset_text(preset), f"preset {preset}")
    elif file:
        try:
            values = _parse(file.read_text(encoding="utf-8"), str(file))
        except OSError as error:
            raise UsageError(f"{file}: cannot be read ({error.strerror})") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"{file}: is not a text file in UTF-8") from error
    for override in overrides:
        _apply(values, override)
    if start_from:
        values = merged_settings(_settings_of(start_from), values) | {"start_from": start_from}
    return _checked(RunConfig, values)


def load_protocol(overrides: Sequence[str]) -> Protocol:
    """The choices of an evaluation, changed by `key=value` overrides.

    Raises:
        UsageError: for an unknown key (with the nearest known one) or a value that a choice does not allow.
    """
    values: dict[str, Any] = {}
    for override in overrides:
        _apply(values, override, example="min_size_px=5")
    return _checked(Protocol, values)


def dump_config(config: RunConfig) -> str:
    """The configuration as YAML; `load_config` reads it back."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _settings_of(run: Path) -> dict[str, Any]:
    """What a run says of training, choice and maps, but for its domains, which are the cohort's; nothing of no run."""
    file = run / CONFIG_FILE
    if not file.is_file():
        return {}
    return load_config(file=file).model_dump(
        include={"training", "validation", "maps"}, exclude={"training": {"domains"}}
    )


def merged_settings(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings with others in place of some; neither is changed."""
    merged = dict(values)
    for name, value in changes.items():
        old = merged.get(name)
        merged[name] = merged_settings(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _preset_folder() -> Any:
    return resources.files("pipelines") / "presets"


def _preset_text(name: str) -> str:
    known = preset_names()
    if name not in known:
        raise UsageError(f"unknown preset {name!r}{_suggestion(name, known)}")
    return (_preset_folder() / f"{name}.yaml").read_text(encoding="utf-8")


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise UsageError(f"{where}: is not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict):
        raise UsageError(f"{where}: must hold settings by name, holds a {type(values).__name__}")
    return values


def _apply(values: dict[str, Any], override: str, *, example: str = "training.learning_rate=2e-4") -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise UsageError(f"--set needs key=value, such as {example}, got {override!r}")
    *path, last = key.strip().split(".")
    for part in path:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise UsageError(f"--set {key}: `{part}` is a value and has no settings below it")
    try:
        values[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"--set {key}: {text!r} is not a YAML value") from error


def _checked(model: type[Settings], values: Mapping[str, Any]) -> Settings:
    _refuse_unknown_keys(values, model, ())
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        # Of a setting of several kinds pydantic adds which kind it tried, as in `literal['max','mean']`.
        key = ".".join(str(part) for part in first["loc"] if "[" not in str(part))
        # A rule between several settings is no one setting's, and its message says all.
        where = f"setting `{key}`: " if key else ""
        got = f", got {first['input']!r}" if key else ""
        raise UsageError(f"{where}{first['msg'].removeprefix('Value error, ')}{got}") from error


def _refuse_unknown_keys(values: Mapping[str, Any], model: type[BaseModel], path: tuple[str, ...]) -> None:
    for key, value in values.items():
        known = list(model.model_fields)
        if key not in known:
            full = ".".join((*path, str(key)))
            raise UsageError(f"unknown setting `{full}`{_suggestion(str(key), known, path)}")
        kind = model.model_fields[key].annotation
        if isinstance(value, Mapping) and isinstance(kind, type) and issubclass(kind, BaseModel):
            _refuse_unknown_keys(value, kind, (*path, key))


def _suggestion(word: str, known: Sequence[str], path: tuple[str, ...] = ()) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if near:
        return f"; did you mean `{'.'.join((*path, near[0]))}`?"
    return f"; known here are {', '.join(known)}"
