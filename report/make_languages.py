"""Makes report/languages.csv, the facts about languages by which the report groups them. Run once; the table is part of the repository.

    python -m venv facts && facts/bin/pip install urielplus==1.3.2 qwanqwa==1.2.1 lang2vec==1.1.2 setuptools
    facts/bin/python report/make_languages.py report/languages.csv

None of the three packages is needed otherwise (they take a minute to load, and urielplus writes into its own folder).
Distances are computed here and are not those that URIEL once published, which cannot be had from its features (antonisa/lang2vec#17).
Macrolanguages have neither family nor features of their own: the table names the individual language that is meant.
"""

import csv
import importlib.metadata
import math
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

# Code of the benchmarks -> code of the individual language. The others are found under their own code.
INDIVIDUAL = {"ar": "arb", "az": "azj", "et": "ekk", "fa": "pes", "ms": "zsm", "qu": "quz", "sw": "swh", "zh": "cmn"}
# Macrolanguages under whose code URIEL may know more.
URIEL = {"arb": "ara", "azj": "aze", "ekk": "est", "pes": "fas", "zsm": "msa", "swh": "swa", "cmn": "zho"}
# GiB of text in CC-100: Conneau et al., 2020, https://aclanthology.org/2020.acl-main.747, Table 6. Languages that are not there are not in
# CC-100. Chinese: simplified 46.9 and traditional 16.6.
CC100 = {
    "en": 300.8, "ru": 278, "id": 148.3, "vi": 137.3, "fa": 111.6, "uk": 84.6, "th": 71.7, "ja": 69.3, "de": 66.6, "ro": 61.4, "hu": 58.4,
    "bg": 57.5, "fr": 56.8, "fi": 54.3, "ko": 54.2, "es": 53.3, "pt": 49.1, "el": 46.9, "zh": 63.5, "pl": 44.6, "he": 31.6, "it": 30.2,
    "nl": 29.3, "ar": 28.0, "tr": 20.9, "hi": 20.2, "lt": 13.7, "ta": 12.2, "ka": 9.1, "ms": 8.5, "bn": 8.4, "ml": 7.6, "az": 6.5,
    "kk": 6.4, "et": 6.1, "ur": 5.7, "te": 4.7, "tl": 3.1, "mr": 2.8, "eu": 2.0, "gu": 1.9, "sw": 1.6, "af": 1.3, "pa": 0.8, "my": 0.4,
    "jv": 0.2,
}  # fmt: skip
# Class of resources, 5 the most: Joshi et al., 2020, https://aclanthology.org/2020.acl-main.560.
JOSHI = {
    5: "ar de en es fr ja zh", 4: "eu fa fi hi hu it ko nl pl pt ru tr vi", 3: "af bg bn el et he id ka kk lt ms ro ta th tl uk ur",
    2: "ht mr pa sw wo yo", 1: "az gu jv ml my te qu",
}  # fmt: skip
CLASS = {language: level for level, languages in JOSHI.items() for language in languages.split()}
# Scripts in which the test data are written, where the package names several.
SCRIPT = {"zh": "Han", "ja": "Japanese", "ko": "Hangul", "az": "Latin", "ms": "Latin", "kk": "Cyrillic", "pa": "Gurmukhi", "ur": "Arabic",
          "fa": "Arabic", "jv": "Latin"}  # fmt: skip
LEAST_OBSERVED = 0.5  # of the syntactic features; below, most of a distance is imputed
COLUMNS = {
    "language": "two-letter code of the benchmarks",
    "name": "qwanqwa {qwanqwa}",
    "family": "top of the Glottolog tree, qwanqwa {qwanqwa} (data CC BY-SA 4.0); isolates are a family of their own",
    "script": "qwanqwa {qwanqwa}; of the test data where there are several",
    "cc100_gib": "GiB in CC-100, Conneau et al. 2020, Table 6; 0: not in CC-100",
    "joshi": "class of resources 0 to 5, Joshi et al. 2020",
    "syntactic": "2 arccos(cosine) / pi to English of URIEL's syntactic features, gaps filled by its kNN, lang2vec {lang2vec}, CC BY-SA",
    "syntax_observed": "share of these features that URIEL observed, lang2vec {lang2vec}",
    "phylogenetic": "the same distance of the family vectors, urielplus {urielplus} (CC BY-SA 4.0); isolates 1",
    "geographic": "great circle to English (in Britain) over half the circumference of the earth, Glottolog in urielplus {urielplus}",
    "imputed": f"columns of which URIEL observed less than {LEAST_OBSERVED:.0%}",
}


def package_file(package: str, *parts: str) -> Path:
    return Path(find_spec(package).submodule_search_locations[0], *parts)


def angular(a: np.ndarray, b: np.ndarray) -> float:
    """2 arccos(cosine) / pi, in 0..1 for vectors without negative values; 1 where one is all 0 (an isolate has no family in common)."""
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return 1.0 if lengths == 0 else float(2 * np.arccos(np.clip(a @ b / lengths, -1, 1)) / np.pi)


def great_circle(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Distance of two places (latitude, longitude in degrees) over half the circumference: 0..1."""
    (la, lo), (lb, ob) = np.radians(a), np.radians(b)
    return math.acos(min(1.0, math.sin(la) * math.sin(lb) + math.cos(la) * math.cos(lb) * math.cos(lo - ob))) / math.pi


class Vectors:
    """URIEL's arrays of one kind: `of(code)` is a language's vector, for features that begin with `prefix`."""

    def __init__(self, path: Path, prefix: str = ""):
        with np.load(path, allow_pickle=False) as file:
            codes, features, data = (file[name] for name in ("langs", "feats", "data"))
        self.values = data[:, [place for place, name in enumerate(features) if str(name).startswith(prefix)]]
        self.places = {str(code): place for place, code in enumerate(codes)}

    def of(self, code: str) -> np.ndarray:
        """(features,) the highest value of any source, negative where none has one."""
        return self.values[self.places[code]].max(-1)

    def observed(self, code: str) -> float:
        """Share of the features that some source observed; -1 for a code that is not there."""
        return float((self.of(code) >= 0).mean()) if code in self.places else -1.0


def main(path: str) -> None:
    from qq import Database

    database = Database.load()
    syntax = Vectors(package_file("lang2vec", "data", "feature_predictions.npz"), "S_")
    observed = Vectors(package_file("lang2vec", "data", "features.npz"), "S_")
    family = Vectors(package_file("urielplus", "database", "original_uriel", "family_features.npz"))
    with open(package_file("urielplus", "database", "urielplus_csvs", "lang_fam_geo.csv"), encoding="utf-8", newline="") as file:
        places = {row["language_id"]: (float(row["latitude"]), float(row["longitude"])) for row in csv.DictReader(file) if row["latitude"]}
    languages = [(code, database.get(INDIVIDUAL.get(code, code))) for code in sorted(CLASS)]
    english = dict(languages)["en"].iso_639_3
    versions = {name: importlib.metadata.version(name) for name in ("qwanqwa", "urielplus", "lang2vec")}
    with open(path, "w", encoding="utf-8", newline="") as file:
        for column, source in COLUMNS.items():
            file.write(f"# {column}: {source.format(**versions)}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for code, found in languages:
            iso = found.iso_639_3
            tree = found.family_tree or []
            known = max(iso, URIEL.get(iso, iso), key=observed.observed)  # Azerbaijani is described under its macrolanguage's code only
            share = observed.observed(known)
            writer.writerow([
                code, found.name, tree[-1].name if tree else f"{found.name} (isolate)", SCRIPT.get(code) or found.canonical_scripts[0].name,
                CC100.get(code, 0), CLASS[code], f"{angular(syntax.of(known), syntax.of(english)):.3f}", f"{share:.2f}",
                f"{angular(np.maximum(family.of(iso), 0), np.maximum(family.of(english), 0)):.3f}",
                f"{great_circle(places[found.glottocode], places[dict(languages)['en'].glottocode]):.3f}",
                "syntactic" if share < LEAST_OBSERVED else "",
            ])  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1])
