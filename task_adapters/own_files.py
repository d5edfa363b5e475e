"""Languages and test sets of one's own: `--test_file ig=my.tsv`, `--dev_file ig=dev.tsv`, and languages that only --data_dir has.

A file has the columns of the task's dataset on the hub, or those of `EXAMPLE_COLUMNS`: what --train_file reads, these flags read too. Each
file becomes a `Source` that serves one split of one language, and so does a configuration below --data_dir in a language that the benchmark
lacks. `load_examples` reads them like all others: it refuses rows without a known label, ids that occur twice, and placeholders.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datasets import Dataset

from metrics import MLQA_ARTICLES
from task_adapters.base import InputError, Source, Task
from task_adapters.examples import LANGUAGE
from task_adapters.files import rows_of_files
from task_adapters.training_data import TrainFile, find_train_files, translation_note


@dataclass(frozen=True)
class OwnFile(Source):
    """A file of the user's as the source of one split of one language. `hub_id` is its path, `revision` its checksum.

    labels  of a classification task: by them a tsv file without a header is known.
    """

    labels: tuple[str, ...] = ()
    is_own = True

    def files(self, split: str, language: str, data_dir: str | None) -> list[Path]:
        return [Path(self.hub_id)] if self.publishes(split, language) else []

    def load(self, split: str, language: str, data_dir: str | None) -> tuple[Dataset, str | None]:
        return rows_of_files([Path(self.hub_id)], self.labels), self.revision

    def facts(self) -> dict:
        """What a result says of the file beside its content: its size, and how translate.py made it."""
        return {"bytes": Path(self.hub_id).stat().st_size, **translation_note(self.hub_id)}


def find_own_files(flag: str, given: list[str]) -> list[TrainFile]:
    """Returns the checked files of `LANG=PATH` texts, one for each language.

    Raises InputError for a text without a language, a language that is named twice, and what `find_train_files` refuses.
    """
    languages = []
    for text in given:
        language, equals, _ = text.partition("=")
        if not equals:
            raise InputError(f"--{flag} {text}: which language? Write --{flag} LANG={text}, for example --{flag} ig={text}.")
        if not re.fullmatch(LANGUAGE, language):
            raise InputError(f"--{flag} {text}: {language!r} is no language code, such as ig or ibo_Latn.")
        languages.append(language)
    for language in languages:
        if languages.count(language) > 1:
            raise InputError(f"--{flag} names {language!r} {languages.count(language)} times: put its examples into one file.")
    return find_train_files(given, flag)


def with_own_data(
    task: Task,
    test_files: Sequence[Any] = (),
    dev_files: Sequence[Any] = (),
    languages: Sequence[str] = (),
    data_dir: str | None = None,
) -> Task:
    """Returns the task with the files as further sources, and with those of `languages` that only --data_dir has.

    test_files, dev_files  what `find_own_files` returns; languages: those of --languages.
    `own` of the returned task are the languages whose test data are the user's. They are added to its `languages`.
    Raises InputError where the task cannot be scored on such data.
    """
    files = [own_file(task, split, file) for split, part in (("test", test_files), ("dev", dev_files)) for file in part]
    covered = {*task.languages, *task.xtreme_r, *(file.language for file in test_files)}
    folders = [source for language in languages if language not in covered for source in sources_in_folder(task, language, data_dir)]
    own = tuple(dict.fromkeys(language for source in (*files, *folders) if "test" in source.splits for language in source.languages))
    if not files and not folders:
        return task
    check_scoring(task, own, test_files)
    elsewhere = {language for source in task.sources for language in source.languages}
    published = tuple(language for language in task.languages if language not in elsewhere)
    sources = [source if source.languages else replace(source, languages=published) for source in task.sources]
    return replace(task, sources=(*files, *folders, *sources), languages=tuple(dict.fromkeys((*task.languages, *own))), own=own)


def own_file(task: Task, split: str, file: TrainFile) -> OwnFile:
    labels = task.labels if task.task_type == "classification" else ()
    path = Path(file.path)
    return OwnFile(
        file.path, path.suffix[1:], {split: path.name}, languages=(file.language,), revision=f"sha256 {file.sha256}", labels=labels
    )


def sources_in_folder(task: Task, language: str, data_dir: str | None) -> list[Source]:
    """Returns the task's source whose configuration in this language lies below --data_dir, in a list; [] where none does.

    A source whose languages share one configuration (TyDiQA) has none. Candidates of rankings belong to all languages together.
    """
    for source in task.sources if data_dir and task.task_type != "ranking" else ():
        here = {
            split: names for split, names in source.splits.items() if any(path.exists() for path in source.files(split, language, data_dir))
        }
        if "{" in source.config and "test" in here:
            return [replace(source, languages=(language,), splits=here, rows={})]
    return []


def check_scoring(task: Task, own: tuple[str, ...], test_files: Sequence[Any]) -> None:
    """Raises InputError for a task whose test data are no file of examples, and for languages that its metric has no rules for."""
    if test_files and task.task_type == "mining":
        language = test_files[0].language
        raise InputError(
            f"--test_file: {task.name} is mined from two sets of sentences, of which few are translations, and not from pairs. Put BUCC's"
            f" three files below --data_dir, as DIR/bucc2018/{language}-en/{language}-en.training.{{{language},en,gold}}, and add"
            f" --languages {language}."
        )
    if test_files and task.task_type == "ranking":
        raise InputError(f"--test_file: {task.name} ranks the candidates of all its languages together, which one file does not hold.")
    if task.name != "mlqa":
        return
    remedy = "--task xquad trains on the same data and scores by SQuAD's rules, which are the same in all languages."
    for language in own:
        if language not in MLQA_ARTICLES:
            raise InputError(f"mlqa's metric removes the articles of a language, and has none for {language!r}. {remedy}")
    for file in test_files:
        if translation_note(file.path).get("made_by", {}).get("to_english"):
            raise InputError(
                f"{file.path} is translated into English, and mlqa's metric would remove the articles of {file.language!r}. {remedy}"
            )
