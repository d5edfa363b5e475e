"""Makes report/languages.csv, the facts about languages by which the report groups them. Run once; the table is part of the repository.

    python -m venv facts && facts/bin/pip install urielplus==1.3.2 qwanqwa==1.2.1 lang2vec==1.1.2 setuptools
    facts/bin/python report/make_languages.py report/languages.csv

None of the three packages is needed otherwise (they take a minute to load, and urielplus writes into its own folder).
Distances are computed here and are not those that URIEL once published, which cannot be had from its features (antonisa/lang2vec#17).
Macrolanguages have neither family nor features of their own: the table names the individual language that is meant. Where URIEL knows more
of the macrolanguage (Albanian, not Tosk), its features are taken.
"""

import csv
import importlib.metadata
import math
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

# Code of the benchmarks -> code of the individual language. The others are found under their own code; of a FLORES code under its first
# part. Today's ISO 639-3 has Levantine Arabic as one language (ajp in apc). N'Ko is a written standard of Manding languages: Eastern
# Maninka stands for it.
INDIVIDUAL = {"ar": "arb", "az": "azj", "et": "ekk", "fa": "pes", "ms": "zsm", "qu": "quz", "sw": "swh", "zh": "cmn",
              "ajp_Arab": "apc", "grn_Latn": "gug", "kon_Latn": "kng", "nqo_Nkoo": "emk", "srd_Latn": "sro", "zho_Hant": "cmn"}  # fmt: skip
NAMES = {"nqo_Nkoo": "N'Ko"}
# Macrolanguages under whose code URIEL may know more.
URIEL = {"arb": "ara", "azj": "aze", "ekk": "est", "pes": "fas", "zsm": "msa", "swh": "swa", "cmn": "zho", "als": "sqi",
         "bos": "hbs", "dik": "din", "fuv": "ful", "gaz": "orm", "hrv": "hbs", "knc": "kau", "lvs": "lav", "ltg": "lav",
         "nno": "nor", "nob": "nor", "npi": "nep", "ory": "ori", "pbt": "pus", "plt": "mlg", "prs": "fas", "srp": "hbs",
         "twi": "aka", "ydd": "yid"}  # fmt: skip
# GiB of text in CC-100: Conneau et al., 2020, https://aclanthology.org/2020.acl-main.747, Table 6, as
# https://github.com/mayhewsw/multilingual-data-stats (cc-100/cc-100.csv, 7397902) has it. Languages that are not there are not in CC-100.
# It counts Arabic, Persian and Norwegian as one language each: here they are Standard Arabic, Western Farsi and Bokmål. Chinese:
# simplified 46.9 and traditional 16.6. A second row of 1.6 GiB for Burmese is not counted. Hindi, Urdu and Bengali in Latin letters have
# rows of their own.
CC100 = {
    "en": 300.8, "ru": 278, "id": 148.3, "vi": 137.3, "fa": 111.6, "uk": 84.6, "th": 71.7, "ja": 69.3, "de": 66.6, "ro": 61.4, "hu": 58.4,
    "bg": 57.5, "fr": 56.8, "fi": 54.3, "ko": 54.2, "es": 53.3, "pt": 49.1, "el": 46.9, "zh": 63.5, "pl": 44.6, "he": 31.6, "it": 30.2,
    "nl": 29.3, "ar": 28.0, "tr": 20.9, "hi": 20.2, "lt": 13.7, "ta": 12.2, "ka": 9.1, "ms": 8.5, "bn": 8.4, "ml": 7.6, "az": 6.5,
    "kk": 6.4, "et": 6.1, "ur": 5.7, "te": 4.7, "tl": 3.1, "mr": 2.8, "eu": 2.0, "gu": 1.9, "sw": 1.6, "af": 1.3, "pa": 0.8, "my": 0.4,
    "jv": 0.2,
    "swe_Latn": 85, "nob_Latn": 49, "dan_Latn": 45.6, "slk_Latn": 23.2, "hrv_Latn": 20.5, "zho_Hant": 16.6, "ces_Latn": 16.3,
    "slv_Latn": 10.3, "cat_Latn": 10.1, "srp_Cyrl": 9.1, "lvs_Latn": 8.8, "hye_Armn": 5.5, "als_Latn": 5.4, "mkd_Cyrl": 4.8,
    "bel_Cyrl": 4.3, "npi_Deva": 3.8, "sin_Sinh": 3.6, "kan_Knda": 3.3, "isl_Latn": 3.2, "khk_Cyrl": 3, "glg_Latn": 2.9, "khm_Khmr": 1.5,
    "kir_Cyrl": 1.2, "epo_Latn": 0.9, "amh_Ethi": 0.8, "cym_Latn": 0.8, "pbt_Arab": 0.7, "uzn_Latn": 0.7, "lao_Laoo": 0.6,
    "ory_Orya": 0.6, "gle_Latn": 0.5, "hin_Latn": 0.5, "urd_Latn": 0.5, "ben_Latn": 0.5, "kmr_Latn": 0.4, "som_Latn": 0.4,
    "snd_Arab": 0.4, "uig_Arab": 0.4, "hau_Latn": 0.3, "san_Deva": 0.3, "ydd_Hebr": 0.3, "plt_Latn": 0.2, "gla_Latn": 0.1,
    "bos_Latn": 0.1, "xho_Latn": 0.1, "sun_Latn": 0.1, "gaz_Latn": 0.1, "asm_Beng": 0.1,
}  # fmt: skip
# Class of resources, 5 the most: Joshi et al., 2020, https://aclanthology.org/2020.acl-main.560. Of the languages with FLORES codes:
# their list of names (lang2tax.txt), as https://github.com/MaLA-LM/LangResourceAtlas has it (language-source-classification, 50ec59a).
# Names were matched by hand, not by the codes there. A language with several names has the highest class of them (Sesotho 1, Southern
# Sotho 0). "unknown": the list does not name it.
UNKNOWN = "unknown"
JOSHI = {
    5: "ar de en es fr ja zh arb_Latn zho_Hant",
    4: "eu fa fi hi hu it ko nl pl pt ru tr vi cat_Latn ces_Latn hin_Latn hrv_Latn srp_Cyrl swe_Latn",
    3: "af bg bn el et he id ka kk lt ms ro ta th tl uk ur arz_Arab bel_Cyrl ben_Latn bos_Latn ceb_Latn dan_Latn glg_Latn lvs_Latn"
       " slk_Latn slv_Latn urd_Latn uzn_Latn",
    2: "ht mr pa sw wo yo amh_Ethi gle_Latn hau_Latn isl_Latn lao_Laoo mlt_Latn san_Deva tir_Ethi tsn_Latn xho_Latn zul_Latn",
    1: "az gu jv ml my te qu ace_Arab ace_Latn aka_Latn als_Latn asm_Beng ast_Latn ayr_Latn azb_Arab bak_Cyrl bam_Latn bho_Deva"
       " bjn_Arab bjn_Latn bod_Tibt bug_Latn ckb_Arab crh_Latn cym_Latn dik_Latn dzo_Tibt epo_Latn ewe_Latn fao_Latn fij_Latn fur_Latn"
       " fuv_Latn gaz_Latn gla_Latn grn_Latn hye_Armn ibo_Latn ilo_Latn kab_Latn kan_Knda kas_Arab kas_Deva kbp_Latn khk_Cyrl khm_Khmr"
       " kik_Latn kin_Latn kir_Cyrl kmr_Latn kon_Latn lij_Latn lim_Latn lin_Latn lmo_Latn ltg_Latn ltz_Latn lug_Latn mai_Deva min_Arab"
       " min_Latn mkd_Cyrl mri_Latn nno_Latn nob_Latn npi_Deva npi_Latn nso_Latn nya_Latn oci_Latn ory_Orya pag_Latn pap_Latn pbt_Arab"
       " plt_Latn run_Latn sag_Latn sat_Olck scn_Latn sin_Latn sin_Sinh smo_Latn sna_Latn snd_Arab som_Latn sot_Latn srd_Latn ssw_Latn"
       " sun_Latn szl_Latn tat_Cyrl tgk_Cyrl tpi_Latn tso_Latn tuk_Latn tum_Latn twi_Latn uig_Arab vec_Latn war_Latn ydd_Hebr yue_Hant",
    0: "awa_Deva ban_Latn dyu_Latn fon_Latn lus_Latn mag_Deva mni_Beng mos_Latn nqo_Nkoo nus_Latn prs_Arab shn_Mymr taq_Latn taq_Tfng"
       " umb_Latn",
    UNKNOWN: "acm_Arab acq_Arab aeb_Arab ajp_Arab apc_Arab ars_Arab ary_Arab bem_Latn cjk_Latn hne_Deva kac_Latn kam_Latn kea_Latn"
             " kmb_Latn knc_Arab knc_Latn lua_Latn luo_Latn tzm_Tfng",
}  # fmt: skip
CLASS = {language: level for level, languages in JOSHI.items() for language in languages.split()}
# ISO 15924, which ends a FLORES code.
SCRIPTS = {"Arab": "Arabic", "Armn": "Armenian", "Beng": "Bengali", "Cyrl": "Cyrillic", "Deva": "Devanagari",
           "Ethi": "Ethiopic", "Hant": "Han", "Hebr": "Hebrew", "Khmr": "Khmer", "Knda": "Kannada", "Laoo": "Lao",
           "Latn": "Latin", "Mymr": "Myanmar", "Nkoo": "N'Ko", "Olck": "Ol Chiki", "Orya": "Odia", "Sinh": "Sinhala",
           "Tfng": "Tifinagh", "Tibt": "Tibetan"}  # fmt: skip
# Scripts in which the test data are written, where the package names several.
SCRIPT = {"zh": "Han", "ja": "Japanese", "ko": "Hangul", "az": "Latin", "ms": "Latin", "kk": "Cyrillic", "pa": "Gurmukhi", "ur": "Arabic",
          "fa": "Arabic", "jv": "Latin"}  # fmt: skip
LEAST_OBSERVED = 0.5  # of the syntactic features; below, most of a distance is imputed
COLUMNS = {
    "language": "two-letter code of the benchmarks, or the code of FLORES-200",
    "name": "qwanqwa {qwanqwa}",
    "family": "top of the Glottolog tree, qwanqwa {qwanqwa} (data CC BY-SA 4.0); isolates are a family of their own",
    "script": "qwanqwa {qwanqwa}; of the test data where there are several; of a FLORES code its last part",
    "cc100_gib": "GiB in CC-100, Conneau et al. 2020, Table 6; 0: not there as a language of its own",
    "joshi": "class of resources 0 to 5, Joshi et al. 2020; unknown: not in their list",
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
    from qq.data_model import IdType

    database = Database.load()
    syntax = Vectors(package_file("lang2vec", "data", "feature_predictions.npz"), "S_")
    observed = Vectors(package_file("lang2vec", "data", "features.npz"), "S_")
    family = Vectors(package_file("urielplus", "database", "original_uriel", "family_features.npz"))
    with open(package_file("urielplus", "database", "urielplus_csvs", "lang_fam_geo.csv"), encoding="utf-8", newline="") as file:
        places = {row["language_id"]: (float(row["latitude"]), float(row["longitude"])) for row in csv.DictReader(file) if row["latitude"]}
    languages = [
        (code, database.get(individual(code), IdType.ISO_639_3 if len(individual(code)) == 3 else IdType.BCP_47)) for code in sorted(CLASS)
    ]
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
            # Latvian has its family under the macrolanguage's code only; an isolate has none under either.
            kin = iso if family.of(iso).max() > 0 else URIEL.get(iso, iso)
            writer.writerow([
                code, NAMES.get(code, found.name), tree[-1].name if tree else f"{found.name} (isolate)", script_of(code, found),
                CC100.get(code, 0), CLASS[code], f"{angular(syntax.of(known), syntax.of(english)):.3f}", f"{share:.2f}",
                f"{angular(np.maximum(family.of(kin), 0), np.maximum(family.of(english), 0)):.3f}",
                f"{great_circle(places[found.glottocode], places[dict(languages)['en'].glottocode]):.3f}",
                "syntactic" if share < LEAST_OBSERVED else "",
            ])  # fmt: skip


def individual(code: str) -> str:
    return INDIVIDUAL.get(code, code.split("_")[0])


def script_of(code: str, found: Any) -> str:
    return SCRIPTS[code.split("_")[1]] if "_" in code else SCRIPT.get(code) or found.canonical_scripts[0].name


if __name__ == "__main__":
    main(sys.argv[1])
