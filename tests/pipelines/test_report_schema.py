"""`report.json` and its schema, which is shipped for programs in other languages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pipelines.reporting import record

SHIPPED = Path(record.__file__).with_name("report.schema.json")


def test_the_shipped_schema_is_that_of_the_record() -> None:
    current = json.dumps(record.PatientReport.model_json_schema(), indent=2) + "\n"
    assert SHIPPED.read_text(encoding="utf-8") == current, "write it anew: python -m pipelines.reporting.record"


@pytest.fixture(scope="module")
def written(fpgan: Callable[..., Any], tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    output = tmp_path_factory.mktemp("schema") / "reports"
    assert fpgan("report", tiny.run, tiny.brats / "P1", "--output", output).exit_code == 0
    report: dict[str, Any] = json.loads((output / "P1" / "report.json").read_text())
    return report


def test_a_written_report_is_valid(written: dict[str, Any]) -> None:
    schema = json.loads(SHIPPED.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(written, schema)


def test_a_field_too_many_or_too_few_is_not(written: dict[str, Any]) -> None:
    schema = json.loads(SHIPPED.read_text(encoding="utf-8"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(written | {"name": "DOE^JOHN"}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({key: value for key, value in written.items() if key != "score"}, schema)


def test_every_field_says_what_it_is() -> None:
    schema = json.loads(SHIPPED.read_text(encoding="utf-8"))
    parts = {"PatientReport": schema} | schema["$defs"]
    undescribed = [
        f"{name}.{field}"
        for name, part in parts.items()
        for field, its in part["properties"].items()
        if "description" not in its
    ]
    assert not undescribed


def test_a_report_says_what_it_was_made_of_and_by(written: dict[str, Any], tiny: Any) -> None:
    assert written["source"]["format"] == "nifti"
    assert set(written["source"]["sha256"]) == {"flair"}
    assert written["versions"]["fpgan"]
    assert written["device"]
    assert {"read", "translate", "localize", "volumes", "page"} <= set(written["seconds"])
    assert written["settings"]["pdf"] is False
    assert written["model"]["run"] == tiny.run.name
    assert len(written["standing"]["diseased"]) >= 1
