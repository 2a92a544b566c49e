"""Functions of the user's own, named `module:function`: found, called, and blamed in one line."""

import importlib
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from pocketnas_base.errors import InputError

_SPEC = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def is_function_spec(text: str) -> bool:
    """Whether `text` has the form `module:function`."""
    return _SPEC.fullmatch(text) is not None


def call_user_function(spec: str, what: str, **arguments: object) -> object:
    """Import `module`, an installed one or else one in the working directory, and call `function(**arguments)`.

    what: the function's part, for messages. Raises InputError when it cannot be found, or raises something itself; the
    line names the user's own file and line.
    """
    function = _find(spec, what)
    try:
        return function(**arguments)
    except Exception as error:
        raise InputError(f"{what} {spec} failed: {_blame(error)}") from error


def _find(spec: str, what: str) -> Callable[..., object]:
    if not is_function_spec(spec):
        raise InputError(f"{what} {spec!r} is not of the form module:function")
    module_name, _, path = spec.partition(":")
    here = Path.cwd()
    if str(here) not in sys.path:
        # Last, so that no file that happens to lie there stands in for a library's module.
        sys.path.append(str(here))
    try:
        found: object = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name + ".").startswith(error.name + "."):
            raise InputError(
                f"{what} {spec}: there is no module {error.name} in {here} or among the installed packages"
                f"{_taken(module_name, here)}"
            ) from None
        raise InputError(f"{what} {spec} cannot be imported: {_blame(error)}") from error
    except Exception as error:
        raise InputError(f"{what} {spec} cannot be imported: {_blame(error)}") from error
    for name in path.split("."):
        if not hasattr(found, name):
            raise InputError(f"{what} {spec}: module {module_name} has no {path}{_taken(module_name, here)}")
        found = getattr(found, name)
    if not callable(found):
        raise InputError(f"{what} {spec} is no function but a {type(found).__name__}")
    return found


def _taken(module_name: str, here: Path) -> str:
    """What to add where the name that was looked up belongs to a module that is not the user's own, in `here`."""
    name = module_name.partition(".")[0]
    if name not in sys.modules:
        return ""
    file = getattr(sys.modules[name], "__file__", None)
    places = [file] if file else list(getattr(sys.modules[name], "__path__", ()))
    if any(Path(place).parent in (here, here / name) for place in places):
        return ""
    found = places[0] if places else "built into Python"
    return f"; {name} is {found}, so a module of your own in {here} needs another name"


def _blame(error: Exception) -> str:
    """One line: what was raised, and the innermost line of code that is not of an installed package."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and "importlib" not in frame.filename and "site-packages" not in frame.filename
    ]
    return f"{reason} ({frames[-1].filename}, line {frames[-1].lineno})" if frames else reason
