"""Tatoeba (Artetxe and Schwenk, 2019): up to 1,000 sentences in 36 languages, each with its English translation.

https://huggingface.co/datasets/google/xtreme, configs tatoeba.<three-letter code>; CC BY 2.0 FR. There is no training: an encoder embeds
all sentences, and for each English sentence the nearest foreign one is taken as its translation. On the hub both sentences end in a
newline, and `source_lang` holds a cache path. XTREME-R adds five languages, from
https://huggingface.co/datasets/mteb/tatoeba-bitext-mining; row counts: mteb's descriptive_stats/BitextMining/Tatoeba.json.
"""

from metrics import accuracy
from task_adapters.base import RetrievalRecipe, Source, Task
from task_adapters.xtreme_download import download

HUB_NAMES = {
    "af": "afr", "ar": "ara", "bg": "bul", "bn": "ben", "de": "deu", "el": "ell", "es": "spa", "et": "est", "eu": "eus", "fa": "pes",
    "fi": "fin", "fr": "fra", "he": "heb", "hi": "hin", "hu": "hun", "id": "ind", "it": "ita", "ja": "jpn", "jv": "jav", "ka": "kat",
    "kk": "kaz", "ko": "kor", "ml": "mal", "mr": "mar", "nl": "nld", "pt": "por", "ru": "rus", "sw": "swh", "ta": "tam", "te": "tel",
    "th": "tha", "tl": "tgl", "tr": "tur", "ur": "urd", "vi": "vie", "zh": "cmn",
}  # fmt: skip
SMALL_SETS = {"jv": 205, "ka": 746, "kk": 575, "ml": 687, "sw": 390, "ta": 307, "te": 234, "th": 548}
ROWS = {"test": {language: SMALL_SETS.get(language, 1_000) for language in HUB_NAMES}}
XTREME_R = {"az": "aze", "lt": "lit", "pl": "pol", "ro": "ron", "uk": "ukr"}
XTREME_R_ROWS = {"test": dict.fromkeys(XTREME_R, 1_000)}


def to_example(row: dict) -> dict:
    source, target = ("sentence1", "sentence2") if "sentence1" in row else ("source_sentence", "target_sentence")
    return {"source": row[source].strip(), "target": row[target].strip()}


HUB = Source(
    "google/xtreme",
    config="tatoeba.{name}",
    names=HUB_NAMES,
    splits={"test": "validation"},
    rows=ROWS,
)

TASK = Task(
    name="tatoeba",
    phase="retrieval",
    task_type="retrieval",
    sources=(
        HUB,
        Source(
            "mteb/tatoeba-bitext-mining",
            config="{name}-eng",
            names=XTREME_R,
            splits={"test": "test"},
            rows=XTREME_R_ROWS,
            languages=tuple(XTREME_R),
        ),  # fmt: skip
        download("tatoeba", {"test": "{language}-en.{language}"}, None, labelled=HUB),
    ),
    to_example=to_example,
    metric=accuracy,
    dev_metric="accuracy",
    languages=tuple(HUB_NAMES),
    xtreme_r=tuple(XTREME_R),
    recipes={
        "jiant": RetrievalRecipe(),  # jiant and XTREME use layer 14 of XLM-R Large and the mean over all tokens.
        "xtreme": RetrievalRecipe(),
    },
    licence="CC BY 2.0 FR",
)
