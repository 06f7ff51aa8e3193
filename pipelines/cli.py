"""The `fpgan` command. Heavy packages are imported inside the commands, so that `--help` answers at once."""

from __future__ import annotations

import os
import sys
import warnings
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from anomaly_fpgan.errors import (
    DeviceError,
    MemoryLimitError,
    ModelError,
    NonFiniteLossError,
    TrackingWarning,
    TrainingError,
    TrainingStopped,
)
from data_prep.errors import DataError, one_line
from evaluation.undefined import UndefinedMetricWarning
from pipelines.cli_evaluate import compare, evaluate
from pipelines.cli_prepare import Output, Overwrite, Quiet, Resume, inspect, prepare
from pipelines.cli_report import report
from pipelines.cli_synthesize import VariantOption, synthesize
from pipelines.errors import MapWarning, UsageError
from pipelines.output import existing_policy

if TYPE_CHECKING:
    from pipelines.screen import Screen


class Commands(TyperGroup):
    """Turns an expected error into one line and an exit code: no traceback unless `--debug`, given anywhere."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.obj = "--debug" in args
        return super().parse_args(ctx, [argument for argument in args if argument != "--debug"])

    def invoke(self, ctx: Any) -> Any:
        try:
            with warnings.catch_warnings():
                if not ctx.obj:
                    _show_only_warnings_for_users()
                return super().invoke(ctx)
        except BrokenPipeError:  # whoever read the output, `head` for example, has enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(141) from None
        except KeyboardInterrupt as interrupt:
            if _speaks():
                _complain(str(interrupt) if isinstance(interrupt, TrainingStopped) else "interrupted")
            raise typer.Exit(130) from None
        except Exception as error:
            # Of typer's own errors, which carry an exit code, those with a message are about what the user typed.
            is_wrong_usage = hasattr(error, "format_message")
            if ctx.obj or isinstance(error, typer.Abort) or (hasattr(error, "exit_code") and not is_wrong_usage):
                raise
            text, code = _explain(error)
            _complain(text)
            raise typer.Exit(code) from error


app = typer.Typer(
    name="fpgan",
    cls=Commands,
    help="Find and localize lesions from healthy/diseased labels alone, with Fixed-Point GANs.",
    epilog="For research use only; not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error; may stand anywhere.")] = False,
) -> None:
    if version:
        typer.echo(package_version("fpgan"))
        raise typer.Exit


app.command()(prepare)
app.command()(inspect)


@app.command()
def train(
    cohort: Annotated[Path, typer.Argument(help="What `fpgan prepare` wrote.")],
    output: Output,
    preset: Annotated[
        str | None,
        typer.Option(
            help="brain-mri (the default), lung-ct, faces, whose domains are attributes, few, adopt, demo or patent."
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A YAML file of settings, such as a run's config.yaml.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting: training.batch_size=8.")
    ] = None,
    also: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="COHORT", help="Train on another cohort's training slices, too, as often; may be repeated."
        ),
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="Begin with the weights of another run, and with its settings where none are given."
        ),
    ] = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """Train a model on a cohort's slices and their domains; masks are not read."""
    from pipelines.config import CONFIG_FILE, load_config
    from pipelines.train import train as run_train

    if resume and (output / CONFIG_FILE).exists() and (preset or config or set_ or also or start_from):
        options = "--preset, --config, --set, --also and --start-from"
        raise UsageError(f"a resumed run keeps its own settings; leave out {options}")
    screen = _screen(quiet)
    if preset is None and config is None and start_from is None:
        preset = "brain-mri"
    settings = load_config(preset=preset, file=config, overrides=set_ or [], start_from=start_from)
    if also:
        settings = settings.model_copy(update={"also": tuple(map(str, also))})
    existing = existing_policy(overwrite=overwrite, resume=resume)
    run_train(cohort, output, settings, screen=screen, existing=existing)
    screen.finish(output)


@app.command()
def combine(
    cohort: Annotated[Path, typer.Argument(help="What `fpgan prepare` wrote, and the runs were trained on.")],
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Two or more that `fpgan train` wrote.")],
    output: Output,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Average the models of runs that differ in their seeds: steadier maps, in as many times the time."""
    from pipelines.combine import combine as combine_runs

    screen = _screen(quiet)
    combine_runs(cohort, runs, output, screen=screen, existing=existing_policy(overwrite=overwrite))
    screen.finish(output)


app.command()(evaluate)
app.command()(compare)


app.command()(report)
app.command()(synthesize)


@app.command()
def demo(
    output: Output = Path("demo"),
    patients: Annotated[int, typer.Option(min=8, help="How many patients to build.")] = 64,
    variant: VariantOption = "default",
    seed: Annotated[int, typer.Option(min=0, help="Decides the patients and the training.")] = 0,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the training.")
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Do it all on patients built here: prepare, train, evaluate, report."""
    from pipelines.demo import demo as run_demo
    from pipelines.reporting.summary import print_metrics

    screen = _screen(quiet)
    existing = existing_policy(overwrite=overwrite)
    metrics = run_demo(
        output,
        screen=screen,
        existing=existing,
        patients=patients,
        variant=variant,
        seed=seed,
        overrides=tuple(set_ or ()),
    )
    print_metrics(metrics, screen)
    screen.say(f"Results: {output / 'run' / 'evaluation' / 'index.html'}")
    screen.say(f"Reports: {output / 'reports' / 'index.html'}")
    screen.finish(output)


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show what this computer has to train with; put it into bug reports."""
    from pipelines.doctor import examine, show
    from pipelines.plain_json import to_json

    with _screen(quiet=False).console.status("Looking around and trying torch.compile"):
        findings = examine()
    if as_json:
        typer.echo(to_json(findings), nl=False)
    else:
        show(findings)


def _show_only_warnings_for_users() -> None:
    """One plain line for an undefined metric or a failing log; warnings meant for programmers need `--debug`."""
    said: set[str] = set()

    def show(message: Warning | str, *_: object, **__: object) -> None:
        if str(message) not in said:
            typer.echo(f"warning: {message}", err=True)
        said.add(str(message))

    warnings.simplefilter("ignore")
    for kind in (MapWarning, TrackingWarning, UndefinedMetricWarning):
        warnings.simplefilter("always", kind)
    warnings.showwarning = show


def _explain(error: Exception) -> tuple[str, int]:
    """One line for the user, and the exit code: 2 when the command cannot start as given, 1 when its work failed."""
    if isinstance(error, (DataError, DeviceError, ModelError, TrainingError, UsageError)):
        return str(error), 2
    if isinstance(error, (MemoryLimitError, NonFiniteLossError)):
        return str(error), 1
    if hasattr(error, "format_message"):
        command = error.ctx.command_path if getattr(error, "ctx", None) else "fpgan"  # type: ignore[attr-defined]
        return f"{error.format_message().rstrip('.')}; see `{command} --help`", 2
    if type(error).__name__ == "ValidationError":  # pydantic's, which takes too long to import for its name alone
        first = error.errors()[0]  # type: ignore[attr-defined]  # told by its name above
        where = ".".join(str(part) for part in first["loc"])
        return f"{where + ': ' if where else ''}{first['msg'].removeprefix('Value error, ')}", 2
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'file system'}: {error.strerror}", 1
    return f"unexpected {type(error).__name__}: {error}; `--debug` shows where, please report it", 1


def _complain(text: str) -> None:
    """The closing line of a command that failed; of several processes, each says what happened to it."""
    rank = os.environ.get("RANK")
    where = f" [process {rank}]" if rank is not None else ""
    typer.echo(f"fpgan{where}: {one_line(text)}", err=True)


def _screen(quiet: bool) -> Screen:
    from pipelines.screen import Screen

    return Screen(quiet=quiet, mute=not _speaks())


def _speaks() -> bool:
    """Whether this is the only process, or the first of those that `torchrun` started."""
    return os.environ.get("RANK", "0") == "0"
