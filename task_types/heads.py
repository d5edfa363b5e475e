"""Heads that transformers lacks for a model family, and checks of the label names of a head that is kept.

EuroBERT has no head for multiple choice and none for span QA (transformers 5.23). Here multiple choice is made of the family's classifier
with one output, and span QA of its tagger with two, as transformers itself makes BERT's. Outside this collection a checkpoint with such a
head loads as an encoder.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import transformers
from transformers import (
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedConfig,
)
from transformers.modeling_outputs import MultipleChoiceModelOutput, QuestionAnsweringModelOutput

from task_adapters.base import InputError, nearest


class ChoiceHead:
    """Makes a family's classifier score choices: token ids (batch, choices, tokens) -> logits (batch, choices).

    To be inherited from before the classifier. It computes no loss: that is in `task_types.loss`.
    """

    def __init__(self, config):
        config.num_labels = 1
        super().__init__(config)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, token_type_ids: torch.Tensor | None = None, **kwargs
    ) -> MultipleChoiceModelOutput:
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        flat = {name: values.flatten(0, 1) for name, values in inputs.items() if values is not None}
        outputs = super().forward(**flat, **kwargs)  # type: ignore[misc]  # the classifier's
        logits = outputs.logits.view(input_ids.shape[:2])
        return MultipleChoiceModelOutput(logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions)


class SpanHead:
    """Makes a family's tagger find spans: token ids (batch, tokens) -> start logits and end logits, (batch, tokens) each.

    To be inherited from before the tagger. It computes no loss: that is in `task_types.span_qa`.
    """

    def __init__(self, config):
        config.num_labels = 2
        super().__init__(config)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, token_type_ids: torch.Tensor | None = None, **kwargs
    ) -> QuestionAnsweringModelOutput:
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        given = {name: values for name, values in inputs.items() if values is not None}
        outputs = super().forward(**given, **kwargs)  # type: ignore[misc]  # the classifier's
        start, end = (logits.contiguous() for logits in outputs.logits.unbind(-1))
        return QuestionAnsweringModelOutput(
            start_logits=start, end_logits=end, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )


# {Auto class that a family may lack: (our head, Auto class of the head that it is made of)}
OUR_HEADS = {
    AutoModelForMultipleChoice: (ChoiceHead, AutoModelForSequenceClassification),
    AutoModelForQuestionAnswering: (SpanHead, AutoModelForTokenClassification),
}


@lru_cache
def model_for(auto_class: Any, family: Any) -> Any:
    """The class that loads a model with a head: `auto_class`, or one of ours where transformers has no such head for the family.

    auto_class  such as AutoModelForQuestionAnswering; family: the class of the model's configuration.
    Ours are not registered with the Auto class, because transformers 5.17 ignores that for its own families.
    Raises InputError where the family has neither this head nor the one that ours is made of.
    """
    if hasattr(auto_class, "for_family"):  # dual encoders
        return auto_class.for_family(family)
    if family in auto_class._model_mapping:
        return auto_class
    head, source = OUR_HEADS.get(auto_class, (None, None))
    kind = auto_class.__name__.removeprefix("AutoModel")
    if source is None or family not in source._model_mapping:
        raise InputError(f"{family.model_type} has no model {kind} in transformers {transformers.__version__}, and none can be made here.")
    basis = source._model_mapping[family]
    return type(basis.__name__.rpartition("For")[0] + kind, (head, basis), {})


# ---- the label names of a kept head (--keep_head)

CERTAIN = 1e-4  # the permutation must beat the head's own order by more than chance explains, all permutations considered
MARGIN = 15.0  # points that the permutation must gain over the head's own order, and over one label for all


def check_label_names(config: PreTrainedConfig, labels: tuple[str, ...], path: str, label_map: list[str] | None = None) -> tuple[str, ...]:
    """The task's labels in the order of the outputs of the head that `path` holds.

    config     the checkpoint's configuration; labels: the names that the task needs, in any order; () where any names will do (CCG).
    label_map  the words of --label_map: "NAME=LABEL". Names that it leaves out stay as they are.
    Raises InputError where the head has other names, a name twice, or `id2label` and `label2id` that contradict each other.
    """
    kept = tuple(config.id2label[i] for i in range(config.num_labels))
    new_names = read_label_map(label_map or [], kept, labels, path)
    renamed = tuple(new_names.get(name, name) for name in kept)
    if sorted(renamed) != sorted(labels or set(renamed)):
        if new_names:
            missed = [name for name, label in zip(kept, renamed) if name not in new_names and label not in labels]
            hint = f" --label_map misses {', '.join(missed)}." if missed else ""
        else:
            same = {label.lower(): label for label in labels}
            found = [f"{name}={same[name.lower()]}" for name in kept if name.lower() in same and name not in labels]
            hint = f" --label_map {' '.join(found or [f'{kept[0]}=...'])} gives them the task's names." if len(kept) == len(labels) else ""
        raise InputError(f"The head of {path!r} names {', '.join(kept)}; this task needs {', '.join(labels)}.{hint}")
    for output, name in enumerate(kept):
        if (config.label2id or {}).get(name, output) != output:
            raise InputError(
                f"The configuration of {path!r} contradicts itself: id2label calls output {output} {name!r}, label2id calls"
                f" output {config.label2id[name]} so."
            )
    return renamed


def read_label_map(words: list[str], kept: tuple[str, ...], labels: tuple[str, ...], path: str) -> dict[str, str]:
    """{name of an output: label of the task} of --label_map's "NAME=LABEL". kept: the names of the head; labels: () where any will do.

    Raises InputError for a word without "=", a name that the head lacks, a label that the task lacks, and for two outputs of one label.
    """
    new_names = {}
    for word in words:
        name, sign, label = word.rpartition("=")
        if not sign or not name or not label:
            raise InputError(f"--label_map {word}: NAME=LABEL would be right, a name of the head and a label of the task.")
        if name not in kept:
            raise InputError(f"--label_map {word}: the head of {path!r} has no {name!r}. {nearest(name, kept)}")
        if labels and label not in labels:
            raise InputError(f"--label_map {word}: this task has no {label!r}. {nearest(label, labels)}")
        if name in new_names:
            raise InputError(f"--label_map names {name!r} twice.")
        new_names[name] = label
    renamed = [new_names.get(name, name) for name in kept]
    for label in new_names.values():
        if renamed.count(label) > 1:
            both = " and ".join(name for name, new_name in zip(kept, renamed) if new_name == label)
            raise InputError(
                f"--label_map makes {both} of the head of {path!r} the same label, {label!r}: each output needs one of its own."
            )
    return new_names


def permutation_warning(labels: tuple[str, ...], gold: Sequence, predicted: Sequence, scored: str = "English dev") -> str | None:
    """What to say of a trained head whose names seem to stand in another order than its outputs; None where they do not seem to.

    labels           the names; gold, predicted: one name for each example, or a list of names for each sentence (tagging).
    scored           the data, as the user reads them.
    The best one-to-one renaming of the predictions (Hungarian assignment) is compared with the names as they are: a sign test over the
    examples on which the two differ, corrected for the number of permutations, and a gain of MARGIN points over the names as they are
    and over the most frequent label. So a head that is merely bad, or says the same of everything, is not suspected. A permutation of
    labels that are rare together is not found.

    A head that is right significantly less often than its answers would be if it gave them without looking (a binomial test) is not merely
    bad. It is named even where the best renaming is no MARGIN better than the most frequent label.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.stats import binomtest

    if predicted and not isinstance(predicted[0], str):
        gold, predicted = ([name for names in column for name in names] for column in (gold, predicted))
    output_of = {name: output for output, name in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)  # predicted output, gold output
    for gold_name, predicted_name in zip(gold, predicted):
        if gold_name in output_of:  # a tag that training never saw has no output
            counts[output_of[predicted_name], output_of[gold_name]] += 1
    total, outputs = counts.sum(), np.arange(len(labels))
    if not total:
        return None
    _, renamed = linear_sum_assignment(counts, maximize=True)
    right_as_named, right_if_renamed = counts[outputs, outputs], counts[outputs, renamed]  # of the predictions of each output
    as_named, best, most_frequent = (100 * right / total for right in (right_as_named.sum(), right_if_renamed.sum(), counts.sum(0).max()))
    by_chance = float(counts.sum(0) @ counts.sum(1)) / float(total) ** 2  # the same answers, given without looking
    p_below = binomtest(int(right_as_named.sum()), int(total), min(1.0, by_chance), alternative="less").pvalue
    is_below_chance = p_below < CERTAIN
    if best < max(as_named + MARGIN, most_frequent + (0 if is_below_chance else MARGIN)):
        return None
    moved = [output for output in outputs if renamed[output] != output and counts[output].any()]
    won, lost = int(right_if_renamed[moved].sum()), int(right_as_named[moved].sum())
    p_value = max(binomtest(won, won + lost, alternative="greater").pvalue, 5e-324)
    if math.log(p_value) + math.lgamma(len(labels) + 1) > math.log(CERTAIN):  # the number of permutations is a factorial
        return None
    names = ", ".join(f"{labels[output]} -> {labels[renamed[output]]}" for output in moved)
    below = f" The first is below chance ({100 * by_chance:.2f}%; binomial test, p = {p_below:.1g})." if is_below_chance else ""
    return (
        f"are the labels permuted? Of {total:,} {scored} labels the kept head gets {as_named:.2f}% right as its outputs are"
        f" named, and {best:.2f}% if they are renamed: {names}.{below} The names are those of id2label in config.json; --label_map gives"
        " others."
    )
