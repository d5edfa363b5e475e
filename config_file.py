"""A file of flags (`--config run.yaml`, or .json): one level of NAME: VALUE, or NAME: [VALUES]. Flags on the command line win.

The file's flags are put before those of the command line, as text: YAML's own types would make false of `no` and of `off`.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from task_adapters import InputError, nearest

EITHER = {"seed": "seeds", "seeds": "seed"}  # one of the two is given


def with_file(words: list[str], parser: Any) -> list[str]:
    """The words of a command line, with the flags of the --config that it names in its place. parser: an `arguments.Parser`

    Raises InputError for a file that cannot be read, a flag that the script does not have, and a value that is none of the flag.
    """
    paths, others, rest = [], [], iter(words)
    for word in rest:
        flag, equals, value = word.partition("=")
        if flag != "--config":
            others.append(word)
        else:
            paths.append(value if equals else next(rest, ""))
    if not paths:
        return words
    if len(paths) > 1:
        raise InputError(f"--config is given {len(paths)} times: one file holds the flags of one run.")
    path = paths[0]
    if not path or path.startswith("--"):
        raise InputError("--config needs a file. For example: --config recipes/mnli.yaml")
    actions = {action.dest: action for action in parser._actions if action.dest not in ("help", "config")}
    of_file, typed = [], {word.partition("=")[0] for word in others}
    for name, values in read_flags(path):
        name = name.replace("-", "_")
        if name in EITHER and f"--{EITHER[name]}" in typed:  # the command line wins
            continue
        if name not in actions:
            raise InputError(f"--config {path}: there is no flag {name!r}. {nearest(name, actions)}")
        if len(values) > 1 and actions[name].nargs not in ("+", "*"):
            raise InputError(f"--config {path}: {name} takes one value, not {len(values)}.")
        of_file += [f"--{name}={values[0]}"] if len(values) == 1 else [f"--{name}", *values]
    try:
        parser.given_flags(of_file)
    except InputError as error:
        raise InputError(f"--config {path}: {error}") from error
    return [*of_file, *others]


def read_flags(path: str) -> list[tuple[str, list[str]]]:
    """[(name, values as text)] of a file, in its order."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        pairs = pairs_of_json(text) if path.endswith(".json") else pairs_of_yaml(text)
    except OSError as error:
        raise InputError(f"--config {path} cannot be read ({error.strerror}).") from error
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(
            f"--config {path} is no valid {'JSON' if path.endswith('.json') else 'YAML'}: {' '.join(str(error).split())}"
        ) from error
    if pairs is None:
        raise InputError(f"--config {path} holds no flags: lines such as `task: mnli` would be right.")
    names = [name for name, _ in pairs]
    for name, values in pairs:
        if names.count(name) > 1:
            raise InputError(f"--config {path} names {name} {names.count(name)} times.")
        if not values or None in values:
            what = "no value" if values is not None else "a value with names or lists of its own: flags have one level"
            raise InputError(f"--config {path}: {name} has {what}.")
    return pairs


def pairs_of_yaml(text: str) -> list | None:
    """[(name, values)]: [text, ...], with None for null; None for what is nested. None for a file that is no mapping."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)

    def scalar(node):
        return None if node.tag.endswith(":null") else node.value

    def values(node):
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        return [scalar(one) for one in nodes] if all(isinstance(one, yaml.ScalarNode) for one in nodes) else None

    return [(name.value, values(node)) for name, node in root.value] if isinstance(root, yaml.MappingNode) else None


def pairs_of_json(text: str) -> list | None:
    """The same of JSON."""

    class Object(list):
        """The pairs of an object: a dict would drop a name that stands there twice."""

    root = json.loads(text, object_pairs_hook=Object, parse_float=str, parse_int=str)

    def scalar(value):
        return json.dumps(value) if isinstance(value, bool) else value

    def values(value):
        items = value if type(value) is list else [value]
        return None if any(isinstance(item, list) for item in items) else [scalar(item) for item in items]

    return [(name, values(value)) for name, value in root] if isinstance(root, Object) else None
