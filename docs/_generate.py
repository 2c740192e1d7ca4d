"""Writes the reference pages from what they describe: the models of the documents, the command, the public names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import agentflow
from agentflow.documents.export import models
from agentflow.schema.fields import field_texts, summary_of

WORKFLOW = ["Workflow", "Defaults", "Budget", "ChatStep", "EmbeddingsStep", "RetrievalStep", "GuardrailStep",
            "ToolStep", "HumanStep", "WaitStep", "MapStep", "LoopStep", "WorkflowStep", "InputTokens", "Media",
            "ErrorSpec", "Timeout", "RetryPolicy", "CircuitBreaker", "Fallback", "Hedge", "Catch",
            "Quorum"]  # fmt: skip
KINDS = {
    "DurationDistribution": "duration, or a [distribution](distributions.md)",
    "CountDistribution": "count, or a [distribution](distributions.md)",
    "RateDistribution": "rate such as `80 tok/s`, or a [distribution](distributions.md)",
    "PositiveSeconds": "duration above 0", "Seconds": "duration", "PositiveTokens": "whole number above 0",
    "Tokens": "whole number", "Usd": "dollars", "Share": "probability", "Prose": "text", "Line": "text",
    "Identifier": "name", "Reference": "name of a step", "ErrorNames": "error", "Day": "date",
    "NonNegative": "number of 0 or more", "StepField": "step", "PricePerToken": "price such as `$0.59/Mtok`",
    "Rate": "rate such as `12k tok/s`", "bool": "true or false", "int": "whole number", "float": "number",
    "str": "text", "Dtype": "dtype such as `fp8`", "Peaks": "dtype: speed such as `989 TFLOP/s`",
    "Bytes": "size such as `80 GB`", "Bandwidth": "bandwidth such as `3.35 TB/s`", "Watts": "power such as `700 W`",
    "TokenRate": "rate such as `20k tok/s`", "Parameters": "number such as `70.6G`", "Utilisation": "share above 0",
    "Factor": "number of 0 or more", "Chips": "whole number above 0", "Layers": "whole number",
    "Heads": "whole number", "Width": "whole number", "Concurrency": "number above 0",
}  # fmt: skip


def write_reference(folder: Path) -> None:
    """Write all generated pages; those of an earlier build go."""
    folder.mkdir(exist_ok=True)
    pages = {
        "workflow.md": _documents("The workflow document", WORKFLOW),
        "backend.md": _documents("The backend document", _backend_models()),
        "command.md": "\n".join(_command()),
        "python.md": _python(),
    }
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")


def _backend_models() -> list[str]:
    """Name the models of a backend document, each after the one that holds it."""
    found, todo = [], ["Backend"]
    while todo:
        name = todo.pop(0)
        if name in found or name not in models():
            continue
        found.append(name)
        for text in field_texts(models()[name]).values():
            todo += [word for word in re.findall(r"\w+", text.annotation) if word in models() and word not in WORKFLOW]
    return found


def _documents(title: str, names: list[str]) -> str:
    return "\n".join([f"# {title}", "", *(line for name in names for line in _model(name))])


def _model(name: str) -> Iterator[str]:
    model = models()[name]
    kind = model.model_fields["type"].default if "type" in model.model_fields else None
    yield from [f"(doc-{name.lower()})=", f"## {f'`type: {kind}`' if kind else name}", "", summary_of(model), ""]
    yield from ["| key | value | default | |", "|---|---|---|---|"]
    for field, text in field_texts(model).items():
        if field == "type":
            continue
        info = model.model_fields[field]
        default = "**needed**" if info.is_required() else _default(info.default)
        yield f"| `{info.alias or field}` | {_words(text.annotation)} | {default} | {text.text} |"
    yield ""


def _default(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float | str):
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return f"`{text}`" if value is not None and text else ""
    if isinstance(value, tuple) and value and all(isinstance(item, str) for item in value):
        return ", ".join(f"`{item}`" for item in value)
    plain = getattr(value, "value", None)
    return f"`{plain:g}`" if isinstance(plain, float) and plain else ""


def _words(annotation: str) -> str:
    """Turn an annotation of the source into plain words."""
    text = annotation.replace(" | None", "")
    if literal := re.search(r"Literal\[([^\]]*)\]", text):
        return ", ".join(f"`{word.strip(' ' + chr(39))}`" for word in literal[1].split(","))
    if "dict" in text and "StepField" in text:
        return "steps by name"
    inner = [word for word in re.findall(r"\w+", text) if word in KINDS or word in models()]
    if not inner:
        return {"Errors": "[error](doc-errorspec): probability", "TimeoutField": "duration or [Timeout](doc-timeout)",
                "Retry": "preset or [RetryPolicy](doc-retrypolicy)", "Input": "count or [InputTokens](doc-inputtokens)",
                "Join": "`all`, `any`, or [Quorum](doc-quorum)", "Routes": "name: probability",
                "Jitter": "`none`, `full`, or a share"}.get(text.split("[")[0], "")  # fmt: skip
    last = inner[-1]
    word = KINDS.get(last, f"[{last}](doc-{last.lower()})" if last in WORKFLOW or last in _backend_models() else last)
    return f"list of {word}" if "Items" in text else word


def _command() -> Iterator[str]:
    """Describe every command and its options, as the command itself does."""
    from typer.main import get_command

    from agentflow.cli.app import app

    group: Any = get_command(app)
    yield from ["# The command", "", str(group.help), "", str(group.epilog or ""), ""]
    for name in sorted(group.commands):
        command = group.commands[name]
        yield from [f"## `agentflow {name}`", "", str(command.help), "", "| | |", "|---|---|"]
        for param in command.params:
            if param.name == "help":
                continue
            option = param.param_type_name == "option"
            words = ", ".join(f"`{name}`" for name in (param.opts if option else [str(param.name).upper()]))
            text = (getattr(param, "help", "") or "").replace("|", "\\|")
            fixed = isinstance(param.default, str | int | float) and not isinstance(param.default, bool)
            yield f"| {words} | {text}{f' Default: `{param.default}`.' if fixed else ''} |"
        yield ""


def _python() -> str:
    """Show the public names by autodoc."""
    parts = ["# Python", "", "```{eval-rst}", ".. currentmodule:: agentflow", ""]
    for name in agentflow.__all__:
        value = getattr(agentflow, name)
        if not isinstance(value, type):
            parts.append(f".. autofunction:: agentflow.{name}")
        elif name in models():
            parts += [f".. autoclass:: agentflow.{name}()", "   :no-members:"]
        else:
            parts += [f".. autoclass:: agentflow.{name}()", "   :members:", "   :exclude-members: model_config"]
        parts.append("")
    return "\n".join([*parts, "```", ""])
