"""Tatoeba at one layer: the nearest foreign sentence is taken as the translation of an English one. `layers` searches at several.

nlu-evals searches the other way: for each foreign sentence the English one, of which equal ones are one candidate.
"""

from collections.abc import Sequence

import numpy as np

from task_types.probabilities import of_neighbours
from task_types.retrieval import different, nearest_neighbours, other_directions, sorted_english


class PairSearch:
    """Tatoeba: every English sentence looks for its translation; the English of all languages is embedded together.

    test        {language: examples}; vectors_of(texts, description): their unit vectors, (n, width) on the CPU.
    keep        called with (language, of_neighbours, and its values) of what is scored.
    Called with a language: (gold, predicted, scores, details), as run_retrieval.py has them.
    """

    def __init__(self, task, test, vectors_of, keep):
        self.task, self.test, self.vectors_of, self.keep = task, test, vectors_of, keep
        english, _ = different([text for examples in test.values() for text in examples["target"]])
        self.english, self.places = vectors_of(english, "en"), {text: place for place, text in enumerate(english)}

    def __call__(self, language):
        examples = self.test[language]
        gold, targets = sorted_english(examples), list(examples["target"])
        english = self.english[[self.places[targets[row]] for row in gold]]
        sources, rows = different(examples["source"])
        foreign = self.vectors_of(sources, language)[rows]
        if self.task.searches_english:
            return self.search_english(language, foreign, english, gold, targets)
        predicted = nearest_neighbours(english, foreign).tolist()
        self.keep(language, of_neighbours, english, foreign, gold, predicted)
        others = other_directions(gold, predicted, nearest_neighbours(foreign, english))
        return gold, predicted, {**self.task.metric(gold, predicted, language), **others, "examples": len(examples)}, {}

    def search_english(self, language: str, foreign: np.ndarray, english: np.ndarray, gold: Sequence[int], targets: Sequence[str]) -> tuple:
        """Foreign sentences look for their translation: lines of the English file, equal sentences being the first line of theirs.

        foreign, english  vectors of the foreign rows, and of the lines of the sorted English file; gold: the row of each line.
        """
        first = {}
        for line, row in enumerate(gold):
            first.setdefault(targets[row], line)
        candidates, right = english[list(first.values())], [first[text] for text in targets]
        predicted = np.array(list(first.values()))[nearest_neighbours(foreign, candidates)].tolist()
        self.keep(language, of_neighbours, foreign, candidates, right, predicted)
        return right, predicted, {**self.task.metric(right, predicted, language), "examples": len(targets)}, {}
