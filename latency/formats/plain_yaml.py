"""The little of YAML that latency tables use: a mapping of names to mappings of numbers. Nothing else is ever built.

A YAML file may name Python objects to construct, and may say by references in a few lines what takes gigabytes to
hold. Here it is read event by event, and the first that a table has no use for ends it: no tag is resolved, no alias
followed.
"""

from collections.abc import Iterator
from typing import Any

from pocketnas_base.errors import InputError

MAX_KEYS = 100_000
MAX_FIELDS = 16

Fields = dict[str, str]


def read_mappings(text: bytes, *, where: str) -> dict[str, Fields]:
    """The file's mappings, their values still as text. Raises InputError, one line, for anything else in it."""
    import yaml

    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    try:
        return _mappings(yaml.parse(text, Loader=loader), where)
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f", line {error.problem_mark.line + 1}"
        raise InputError(f"{where}{line}: not valid YAML: {_one_line(error.problem or error.context)}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{where}: not valid YAML: {_one_line(error)}") from None
    except (UnicodeDecodeError, RecursionError):
        raise InputError(f"{where}: not valid YAML: it is not UTF-8 text, or nested too deep") from None


def _mappings(events: Iterator[Any], where: str) -> dict[str, Fields]:
    import yaml

    found: dict[str, Fields] = {}
    stack: list[str] = []  # names of the mappings that are open, the outermost without one
    name: str | None = None
    documents = 0
    for event in events:
        line = event.start_mark.line + 1
        at = f"{where}, line {line}"
        match event:
            case yaml.StreamStartEvent() | yaml.StreamEndEvent() | yaml.DocumentEndEvent():
                continue
            case yaml.DocumentStartEvent():
                documents += 1
                if documents > 1:
                    raise InputError(f"{at}: a second document; a table is one")
                continue
            case yaml.AliasEvent():
                raise InputError(f"{at}: the alias *{_one_line(event.anchor)}; a table repeats nothing by reference")
            case _ if getattr(event, "anchor", None) is not None:
                raise InputError(f"{at}: the anchor &{_one_line(event.anchor)}; a table repeats nothing by reference")
            case _ if getattr(event, "tag", None) not in (None, "!"):
                raise InputError(f"{at}: the tag {_one_line(event.tag)}; a table holds numbers, and no code is run")
            case yaml.MappingStartEvent() if len(stack) == 0:
                stack.append("")
            case yaml.MappingStartEvent() if len(stack) == 1 and name is not None:
                found[name] = {}
                if len(found) > MAX_KEYS:
                    raise InputError(f"{where} has more than {MAX_KEYS} entries")
                stack.append(name)
                name = None
            case yaml.MappingEndEvent():
                stack.pop()
            case yaml.ScalarEvent() if len(stack) == 1 and name is None:
                name = event.value
                if name in found:
                    raise InputError(f"{at}: {_one_line(name)} stands there twice")
            case yaml.ScalarEvent() if len(stack) == 2 and name is None:
                name = event.value
                if name in found[stack[-1]] or len(found[stack[-1]]) >= MAX_FIELDS:
                    raise InputError(f"{at}: {_one_line(name)} stands there twice, or there are too many fields")
            case yaml.ScalarEvent() if len(stack) == 2 and name is not None:
                found[stack[-1]][name] = event.value
                name = None
            case _:
                raise InputError(f"{at}: a table is a mapping of layers to mappings of numbers, and nothing deeper")
    return found


def _one_line(value: object) -> str:
    return " ".join(str(value).split())[:80]


def yaml_number(value: float | int | None) -> str:
    """A number as every YAML reader takes it for one: PyYAML reads `1e-05` as text, and `1.0e-05` as the number."""
    if value is None:
        return "null"
    text = repr(value)
    mantissa, e, exponent = text.partition("e")
    return text if not e or "." in mantissa else f"{mantissa}.0e{exponent}"
