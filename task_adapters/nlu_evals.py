"""nlu-evals (Zhang et al., 2024): what papers since 2024 call XTREME-R, as tasks of their own (`--protocol nlu-evals`).

https://github.com/izhx/nlu-evals, commit b8193ba; the script of each task is named beside its settings. All ten tasks differ from
XTREME-R's in settings, six also in data, languages, metric or direction. They are tasks with names of their own, so that no folder of
predictions, no mean and no table holds results of both. Its scripts run on one GPU: its batch per device is the whole batch. Learning rates
and epochs are the same for every model.
"""

from dataclasses import asdict, replace
from typing import Any

from metrics import squad_scores
from task_adapters import mewsli_x, mlqa, panx, tatoeba, tydiqa, udpos, xcopa, xnli, xquad
from task_adapters.base import Recipe, RetrievalRecipe, Source, Task
from task_adapters.lareqa import RankingRecipe
from task_adapters.lareqa_paragraphs import TASK as PARAGRAPHS
from task_adapters.siqa import NLU_EVALS_CHOICE

PROTOCOL = "nlu-evals"
SPLITS = {"train": "train", "dev": "validation", "test": "test"}

MNLI = Recipe(learning_rate=2e-5, max_seq_length=128, warmup_steps=0.06, weight_decay=0)  # run_glue_one.sh
# run_udpos.sh, run_wikiann.sh
TAGGING = Recipe(learning_rate=2e-5, num_train_epochs=10, max_seq_length=128, warmup_steps=0, weight_decay=0)
QUESTIONS = Recipe(learning_rate=3e-5, max_seq_length=384, warmup_steps=0, weight_decay=1e-4)  # run_squad.sh, run_tydiqa.sh
CHOICES = xcopa.StagedRecipe(**asdict(NLU_EVALS_CHOICE), before="siqa")  # train_siqa.sh, run_copa.sh
# eval_tatoeba.sh reads the checkpoint of eval_lareqa.sh. It cuts foreign sentences after 96 tokens and English ones after 256; here both
# are cut after 256.
SENTENCES = RetrievalRecipe(layer="last", pooling="cls", max_seq_length=256, before="squad_paragraphs")
MENTIONS = RankingRecipe(layer="last", pooling="cls", query_length=64, max_seq_length=64, before="wikipedia_mentions")  # run_mewslix.sh


def under(task: Task, recipe: Any, **changes: Any) -> Task:
    """A task of XTREME-R as nlu-evals has it."""
    return replace(task, name=f"{task.name}_nlu_evals", recipes={PROTOCOL: recipe}, protocol=PROTOCOL, xtreme_r=(), **changes)


def languages_of(task: Task) -> tuple[str, ...]:
    return tuple(sorted((*task.languages, *task.xtreme_r)))


TASKS = (
    under(xnli.TASK, MNLI),
    under(xcopa.TASK, CHOICES),
    # All languages of UD v2.7; XTREME-R has 33 of them in v2.5.
    under(
        udpos.TASK,
        TAGGING,
        languages=languages_of(udpos.TASK),
        sources=(Source("izhx/xtreme-r-udpos", config="{language}", splits=SPLITS),),
    ),
    under(
        panx.TASK,
        TAGGING,
        languages=languages_of(panx.TASK),
        sources=(Source("unimelb-nlp/wikiann", config="{language}", splits=SPLITS),),
    ),
    # Without Hindi: eval_xquad.sh has left it for later.
    under(xquad.TASK, QUESTIONS, languages=tuple(language for language in languages_of(xquad.TASK) if language != "hi")),
    under(mlqa.TASK, QUESTIONS, metric=squad_scores),  # SQuAD's articles and punctuation in place of MLQA's
    under(tydiqa.TASK, QUESTIONS),
    under(mewsli_x.TASK, MENTIONS),
    under(
        tatoeba.TASK,
        SENTENCES,
        languages=languages_of(tatoeba.TASK),
        sources=(
            Source(
                "mteb/tatoeba-bitext-mining",
                config="{name}-eng",
                names=tatoeba.HUB_NAMES | tatoeba.XTREME_R,
                splits={"test": "test"},
                rows={"test": tatoeba.ROWS["test"] | tatoeba.XTREME_R_ROWS["test"]},
            ),
        ),
        searches_english=True,
    ),
)
# {task as a user names it: the task that the protocol has in its place}
IN_PLACE_OF = {
    **{task.name.removesuffix("_nlu_evals"): task.name for task in TASKS},
    "lareqa": PARAGRAPHS.name,
    "squad_sentences": "squad_paragraphs",  # the training of LAReQA
    **{name: name for name in ("squad_paragraphs", "wikipedia_mentions", "siqa", "copa")},  # trained for the others
}
SCORED = tuple(sorted((PARAGRAPHS.name, *(task.name for task in TASKS))))  # the mean over these ten is nlu-evals' average
