"""Heads that transformers has not got for a family: multiple choice out of its classifier, span QA out of its tagger.

EuroBERT has neither (transformers 5.23). Each is the family's own head with another number of outputs, as the library's own ones are
(BERT's span QA is its tagger with two tags). Outside this collection a checkpoint with such a head loads as an encoder.
"""

from functools import lru_cache

import transformers
from transformers import (
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)
from transformers.modeling_outputs import MultipleChoiceModelOutput, QuestionAnsweringModelOutput

from task_adapters.base import InputError


class ChoiceHead:
    """Before a family's classifier: one output, (batch, choices, pieces) -> logits (batch, choices). No loss: `task_types.loss` has it."""

    def __init__(self, config):
        config.num_labels = 1
        super().__init__(config)

    def forward(self, input_ids, attention_mask=None, token_type_ids=None, **kwargs):
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        flat = {name: values.flatten(0, 1) for name, values in inputs.items() if values is not None}
        outputs = super().forward(**flat, **kwargs)
        logits = outputs.logits.view(input_ids.shape[:2])
        return MultipleChoiceModelOutput(logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions)


class SpanHead:
    """Before a family's tagger: two outputs for each piece, start and end, (batch, pieces) each. No loss: `task_types.span_qa` has it."""

    def __init__(self, config):
        config.num_labels = 2
        super().__init__(config)

    def forward(self, input_ids, attention_mask=None, token_type_ids=None, **kwargs):
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        outputs = super().forward(**{name: values for name, values in inputs.items() if values is not None}, **kwargs)
        start, end = (logits.contiguous() for logits in outputs.logits.unbind(-1))
        return QuestionAnsweringModelOutput(
            start_logits=start, end_logits=end, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )


# Auto class: our head, and the Auto class of what it is made of.
MADE = {
    AutoModelForMultipleChoice: (ChoiceHead, AutoModelForSequenceClassification),
    AutoModelForQuestionAnswering: (SpanHead, AutoModelForTokenClassification),
}


@lru_cache
def model_for(auto_class, family):
    """What loads a model of this configuration class: the Auto class, or a class of ours where that has none for the family.

    Not registered with the Auto class: transformers 5.17 ignores that for its own families. Raises InputError where none can be made.
    """
    if hasattr(auto_class, "for_family"):  # dual encoders
        return auto_class.for_family(family)
    if family in auto_class._model_mapping:
        return auto_class
    head, source = MADE.get(auto_class, (None, None))
    kind = auto_class.__name__.removeprefix("AutoModel")
    if source is None or family not in source._model_mapping:
        raise InputError(f"{family.model_type} has no model {kind} in transformers {transformers.__version__}, and none can be made here.")
    basis = source._model_mapping[family]
    return type(basis.__name__.rpartition("For")[0] + kind, (head, basis), {})
