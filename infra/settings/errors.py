"""What is wrong with the settings, in a sentence that names them as one sets them."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

PREFIX = "SHELFWISE_"
NESTED = "__"
FILE = "shelfwise.toml"
ENV_FILE = ".env"
SECRETS_DIR = "SHELFWISE_SECRETS_DIR"
"""Names a folder whose files are settings: each named as its variable of the environment would be, its value within."""
IN_A_POD = "KUBERNETES_SERVICE_HOST"
SERVICE_LINK = re.compile(r"(_[A-Z0-9]+)*_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9]+)*|PORT(_\d+_[A-Z]+(_[A-Z]+)?)?)")
"""What Kubernetes puts behind the name of a service, such as one called shelfwise, in the environment of every pod."""


def refuse_unknown_names(environment: Mapping[str, str], groups: Collection[str]) -> None:
    """Refuse variables of ours that no setting reads: pydantic-settings looks up the names it knows, and no others.

    Raises:
        SettingsError: a name begins with ``SHELFWISE_`` and goes on with none of ``groups``.
    """
    links = SERVICE_LINK if IN_A_POD in environment else None
    for name in environment:
        if name == SECRETS_DIR or (links and links.fullmatch(name.removeprefix(PREFIX[:-1]))):
            continue
        first = name.upper().removeprefix(PREFIX).partition(NESTED)[0].lower()
        if name.upper().startswith(PREFIX) and first not in groups:
            raise SettingsError(f"{name} is no setting of Shelfwise{_nearest(first, groups, PREFIX)}")


def read_env_file(file: Path) -> dict[str, str]:
    """The variables of a ``.env`` that are ours; the others are of other programs.

    Raises:
        SettingsError: it is no UTF-8 text, or a line of ours is no ``NAME=value``.
    """
    if not file.is_file():
        return {}
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file} is not UTF-8 text: {error}") from error
    for line in parse_stream(StringIO(text)):
        told = line.original.string
        if line.error and PREFIX in told.upper():
            above = told[: -len(told.lstrip())].count("\n")
            raise SettingsError(f"{file} line {line.original.line + above}: it is no NAME=value")
    found = dotenv_values(stream=StringIO(text))
    return {name: value for name, value in found.items() if value is not None and name.upper().startswith(PREFIX)}


def secrets_dir() -> str | None:
    """``SHELFWISE_SECRETS_DIR``, by the environment or ``.env``."""
    return os.environ.get(SECRETS_DIR) or read_env_file(Path(ENV_FILE)).get(SECRETS_DIR)


def secret_names() -> list[str]:
    """Names of the files of ``SHELFWISE_SECRETS_DIR``."""
    folder = secrets_dir()
    return [file.name for file in Path(folder).iterdir()] if folder and Path(folder).is_dir() else []


def refuse_broken_file(file: Path) -> None:
    """Say where ``shelfwise.toml`` is no TOML.

    Raises:
        SettingsError: it is not.
    """
    if not file.is_file():
        return
    text = ""
    try:
        text = file.read_text(encoding="utf-8")
        tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file} is not UTF-8 text: {error}") from error
    except tomllib.TOMLDecodeError as error:
        what, _, where = str(error).partition(" (at ")
        line = where.partition(",")[0] if where.startswith("line") else f"line {text.count(chr(10)) + 1}"
        raise SettingsError(f"{file} {line}: {what}") from error


def unparsed(error: SettingsError, settings: type[BaseModel]) -> str | None:
    """A sentence on the variable whose value is no JSON where it must be; None of another error."""
    found = re.match(r'error parsing value for field "(\w+)" from source', str(error))
    for name, value in os.environ.items() if found else ():
        names = name.upper().removeprefix(PREFIX).lower().split(NESTED)
        if not (found and name.upper().startswith(PREFIX) and names[0] == found[1]):
            continue
        kind = str(_model_and_field(names, settings)[1])
        example = '{"name": "value"}' if "dict" in kind else '["one", "two"]'
        if re.search(r"dict|tuple|list|set", kind) and not _is_json(value):
            return f"{name}={value}: write it as JSON, such as {example}"
    return None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def in_words(error: ValidationError, settings: type[BaseModel]) -> str:
    """A sentence per setting that is wrong. ``error`` is of ``settings``, or of one of its groups."""
    group = next((name for name, field in settings.model_fields.items() if _is(field.annotation, error.title)), None)
    within, file = ((group,), "") if group else ((), f"{FILE}: ")
    return "; ".join(_sentence(detail, (*within, *detail["loc"]), settings, file) for detail in error.errors())


def _is(annotation: Any, title: str) -> bool:
    return isinstance(annotation, type) and annotation.__name__ == title


def _sentence(detail: ErrorDetails, place: tuple[int | str, ...], settings: type[BaseModel], file: str) -> str:
    names = [str(part) for part in place]
    model, field = _model_and_field(names, settings)
    variable = PREFIX + NESTED.join(names).upper()
    names_given = (*os.environ, *read_env_file(Path(ENV_FILE)), *secret_names())
    set_by = next((name for name in names_given if name.upper() == variable), None)
    secret = field is not None and "SecretStr" in str(field)
    shown = "" if secret or isinstance(detail["input"], (dict, SecretStr)) else f"={detail['input']}"
    if detail["type"] == "extra_forbidden":
        known = list(model.model_fields) if model is not None else []
        if set_by:
            return f"{set_by} is no setting{_nearest(names[-1], known, variable[: -len(names[-1])])}"
        if len(names) == 1:
            return f"{file}[{names[0]}] is no group{_nearest(names[0], known)}"
        return f"{file}[{'.'.join(names[:-1])}] has no {names[-1]}{_nearest(names[-1], known)}"
    return f"{set_by or _set_around(names) or file + '.'.join(names)}{shown}: {_what_is_wrong(detail)}"


def _set_around(names: list[str]) -> str | None:
    """The variable that holds the setting inside its JSON, of those that are set."""
    around = [PREFIX + NESTED.join(names[:n]).upper() for n in range(len(names) - 1, 1, -1)]
    return next((name for name in (*os.environ, *secret_names()) if name.upper() in around), None)


def _what_is_wrong(detail: ErrorDetails) -> str:
    if detail["type"] == "literal_error":
        return "one of " + str(detail["ctx"]["expected"]).replace("'", "").replace(" or ", ", ")
    told = detail["msg"].removeprefix("Value error, ")
    return told[:1].lower() + told[1:]


def _model_and_field(names: list[str], settings: type[BaseModel]) -> tuple[type[BaseModel] | None, Any]:
    """The model that ``names`` lead into, and the type of the last of them; None where they lead nowhere."""
    model: type[BaseModel] | None = settings
    annotation: Any = None
    for name in names[:-1]:
        annotation = model.model_fields[name].annotation if model and name in model.model_fields else None
        model = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    field = model.model_fields.get(names[-1]) if model and names else None
    return model, field.annotation if field else None


def _nearest(name: str, known: Collection[str], prefix: str = "") -> str:
    near = get_close_matches(name, known, n=1)
    if not near:
        return ""
    return f"; did you mean {prefix}{near[0].upper() if prefix else near[0]}?"
