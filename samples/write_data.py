"""Write small versions of all eighteen datasets, under the hub's ids, configs, splits and columns, and raw text for masked LM.

    python -m samples.write_data --output_dir samples/data

The same seed gives the same bytes. `--data_dir samples/data` then takes the path that the real data take.
"""

import argparse
import hashlib
import math
import shutil
from pathlib import Path

import pyarrow
import pyarrow.parquet
from datasets import ClassLabel, Features, List, Value

from samples import tasks
from samples.lexicon import LANGUAGES
from task_adapters.errors import OneLineParser

MARKER = "written_by"
TEXT = Value("string")
NLI = {"premise": TEXT, "hypothesis": TEXT, "label": ClassLabel(names=["entailment", "neutral", "contradiction"])}
ANSWERS = {"text": List(TEXT), "answer_start": List(Value("int32"))}
XTREME_ANSWERS = {"answer_start": List(Value("int32")), "text": List(TEXT)}
TITLED = {"id": TEXT, "title": TEXT, "context": TEXT, "question": TEXT}
UPOS = "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split()
ENTITIES = "O B-PER I-PER B-ORG I-ORG B-LOC I-LOC".split()
QQP = {"question1": TEXT, "question2": TEXT, "label": ClassLabel(names=["not_duplicate", "duplicate"]), "idx": Value("int32")}
HELLASWAG = {"ind": Value("int32"), "activity_label": TEXT, "ctx_a": TEXT, "ctx_b": TEXT, "ctx": TEXT, "endings": List(TEXT),
             "source_id": TEXT, "split": TEXT, "split_type": TEXT, "label": TEXT}  # fmt: skip
COSMOS = {"id": TEXT, "context": TEXT, "question": TEXT, **{f"answer{i}": TEXT for i in range(4)}, "label": Value("int32")}
COMMONSENSE = {"id": TEXT, "question": TEXT, "question_concept": TEXT, "choices": {"label": List(TEXT), "text": List(TEXT)},
               "answerKey": TEXT}  # fmt: skip
PAWS = {"id": Value("int32"), "sentence1": TEXT, "sentence2": TEXT, "label": ClassLabel(names=["0", "1"])}
PAIR = {"source_sentence": TEXT, "target_sentence": TEXT, "source_lang": TEXT, "target_lang": TEXT}

# hub id -> functions that make its configs, and the columns of each config by the beginning of its name
DATASETS = {
    "nyu-mll/glue": ([tasks.glue], {"mnli": {**NLI, "idx": Value("int32")}, "qqp": QQP}),
    "facebook/anli": ([tasks.anli], {"": {"uid": TEXT, **NLI, "reason": TEXT}}),
    "stanfordnlp/snli": ([tasks.snli], {"": NLI}),
    "rajpurkar/squad": ([tasks.squad], {"": {**TITLED, "answers": ANSWERS}}),
    "rajpurkar/squad_v2": ([tasks.squad_v2], {"": {**TITLED, "answers": ANSWERS}}),
    "Rowan/hellaswag": ([tasks.hellaswag], {"": HELLASWAG}),
    "allenai/cosmos_qa": ([tasks.cosmos_qa], {"": COSMOS}),
    "tau/commonsense_qa": ([tasks.commonsense_qa], {"": COMMONSENSE}),
    "facebook/xnli": ([tasks.xnli], {"": NLI}),
    "google-research-datasets/paws-x": ([tasks.paws_x], {"": PAWS}),
    "google/xtreme": (
        [tasks.udpos, tasks.panx, tasks.mlqa, tasks.tatoeba],
        {
            "udpos": {"tokens": List(TEXT), "pos_tags": List(ClassLabel(names=UPOS))},
            "PAN-X": {"tokens": List(TEXT), "ner_tags": List(ClassLabel(names=ENTITIES)), "langs": List(TEXT)},
            "MLQA": {**TITLED, "answers": XTREME_ANSWERS},
            "tatoeba": PAIR,
        },
    ),
    "google/xquad": ([tasks.xquad], {"": {"id": TEXT, "context": TEXT, "question": TEXT, "answers": ANSWERS}}),
    "google-research-datasets/tydiqa": ([tasks.tydiqa], {"": {**TITLED, "answers": ANSWERS}}),
}
COPA = {**{name: TEXT for name in ("premise", "choice1", "choice2", "question")}, "idx": Value("int32"), "label": Value("int32")}
SOCIAL_IQA = {name: TEXT for name in ("context", "question", "answerA", "answerB", "answerC", "label")}
BEYOND = {
    "allenai/social_i_qa": (tasks.social_iqa, SOCIAL_IQA),
    "aps/super_glue": (tasks.copa, COPA),
    "cambridgeltl/xcopa": (tasks.xcopa, COPA),
    "google-research-datasets/xquad_r": (tasks.xquad_r, {"id": TEXT, "context": TEXT, "question": TEXT, "answers": ANSWERS}),
}
BEYOND_FILES = {
    "Davlan/sib200": tasks.sib200,
    "facebook/belebele": tasks.belebele,
    "google-research-datasets/lareqa": tasks.lareqa,
    "izhx/mewsli-x": tasks.mewsli_x,
}
BUCC = {"sentence1": List(TEXT), "sentence2": List(TEXT), "gold": List(List(Value("int32")))}


def columns_of(config, by_beginning):
    return Features(next(columns for beginning, columns in by_beginning.items() if config.startswith(beginning)))


def write_dataset(folder, configs, by_beginning):
    """One folder for each config, and a README whose header tells `load_dataset` which file is which split."""
    lines = ["---", "configs:"]
    for config, splits in configs.items():
        files = "data" if config == "default" else config
        lines += [f"- config_name: {config}", "  data_files:"]
        features = columns_of(config, by_beginning)
        for split, rows in splits.items():
            lines += [f"  - split: {split}", f"    path: {files}/{split}-*"]
            path = folder / files / f"{split}-00000-of-00001.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            encoded = [features.encode_example(row) for row in rows]
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(encoded, schema=features.arrow_schema), path)
    lines += ["---", "", "Made by `python -m samples.write_data`: a miniature with this dataset's layout and none of its content."]
    (folder / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_files(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def write_all(output_dir, seed=0, scale=1.0, with_text=True):
    """Writes all datasets and, with `with_text`, the raw text, which takes two thirds of the time.

    Text that an earlier call left in the folder is removed first.
    """
    output_dir, writer = Path(output_dir), tasks.Writer(seed, scale)
    if (output_dir / MARKER).is_file():  # An earlier generator's text could contain the test sentences of this one.
        shutil.rmtree(output_dir / "text", ignore_errors=True)
        (output_dir / MARKER).unlink()
    for hub_id, (makers, by_beginning) in DATASETS.items():
        configs = {config: splits for make in makers for config, splits in make(writer).items()}
        write_dataset(output_dir / hub_id, configs, by_beginning)
    configs, files = tasks.bucc(writer)
    write_dataset(output_dir / "mteb/BUCC", configs, {"": BUCC})
    write_files(output_dir / "bucc2018", files)
    write_files(output_dir / "LDC2005T13", tasks.ccgbank(writer))
    if with_text:
        write_files(output_dir / "text", {f"{x}.txt": "\n".join(tasks.raw_text(writer, x)) + "\n" for x in LANGUAGES})
    write_beyond(output_dir, writer)
    (output_dir / MARKER).write_text(generator(seed, scale))


def write_beyond(output_dir, writer):
    """XTREME-R, SIB-200 and Belebele: last, so that everything before them stays as it is."""
    for hub_id, (make, columns) in BEYOND.items():
        write_dataset(output_dir / hub_id, make(writer), {"": columns})
    for hub_id, make in BEYOND_FILES.items():
        write_files(output_dir / hub_id, make(writer))


def generator(seed=0, scale=1.0):
    """The content of MARKER in a folder that the present generator has written completely."""
    others = ("demo.py", "grid.py", "pretrain.py", "question.py", "show.py")
    code = sorted(path for pattern in ("*.py", "lexicon/*.txt") for path in Path(__file__).parent.glob(pattern))
    key = hashlib.sha256(b"".join(path.read_bytes() for path in code if path.name not in others)).hexdigest()
    return f"{key} seed {seed} scale {scale}"


def output_folder(text: str) -> str:
    """A flag that names a folder to write into."""
    above = next(path for path in (Path(text), *Path(text).absolute().parents) if path.exists())
    if not above.is_dir():
        raise argparse.ArgumentTypeError(f"{above} is a file, no folder")
    return text


def factor(text: str) -> float:
    if not 0 < float(text) < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: a number above 0")
    return float(text)


def main():
    parser = OneLineParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output_dir", type=output_folder, default="samples/data")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=factor, default=1.0, help="multiplies the number of rows of every split")
    args = parser.parse_args()
    write_all(args.output_dir, args.seed, args.scale)


if __name__ == "__main__":
    main()
