"""The languages of benchmarks that are made of FLORES-200 (SIB-200, Belebele): {our code: FLORES's}.

FLORES names a language by three letters and its script (`eng_Latn`). A language of XTREME-R has two letters here, as in all other tasks, so
that one report can compare them; every other variety keeps the name that FLORES gives it.
"""

from collections.abc import Iterable

from task_adapters.errors import near
from task_adapters.udpos import HUB_NAMES

TWO_LETTERS = {
    "afr_Latn": "af", "arb_Arab": "ar", "azj_Latn": "az", "bul_Cyrl": "bg", "ben_Beng": "bn", "deu_Latn": "de", "ell_Grek": "el",
    "eng_Latn": "en", "spa_Latn": "es", "est_Latn": "et", "eus_Latn": "eu", "pes_Arab": "fa", "fin_Latn": "fi", "fra_Latn": "fr",
    "guj_Gujr": "gu", "heb_Hebr": "he", "hin_Deva": "hi", "hat_Latn": "ht", "hun_Latn": "hu", "ind_Latn": "id", "ita_Latn": "it",
    "jpn_Jpan": "ja", "jav_Latn": "jv", "kat_Geor": "ka", "kaz_Cyrl": "kk", "kor_Hang": "ko", "lit_Latn": "lt", "mal_Mlym": "ml",
    "mar_Deva": "mr", "zsm_Latn": "ms", "mya_Mymr": "my", "nld_Latn": "nl", "pan_Guru": "pa", "pol_Latn": "pl", "por_Latn": "pt",
    "quy_Latn": "qu", "ron_Latn": "ro", "rus_Cyrl": "ru", "swh_Latn": "sw", "tam_Taml": "ta", "tel_Telu": "te", "tha_Thai": "th",
    "tgl_Latn": "tl", "tur_Latn": "tr", "ukr_Cyrl": "uk", "urd_Arab": "ur", "vie_Latn": "vi", "wol_Latn": "wo", "yor_Latn": "yo",
    "zho_Hans": "zh",
}  # fmt: skip

# Our code of two letters -> FLORES's, which NLLB uses too: those above, and the other languages of NLLB-200 that ISO 639-1 names.
# https://github.com/facebookresearch/flores/tree/main/flores200
NLLB_CODES = {
    **{ours: name for name, ours in TWO_LETTERS.items()},
    "ak": "aka_Latn", "am": "amh_Ethi", "as": "asm_Beng", "ay": "ayr_Latn", "ba": "bak_Cyrl", "be": "bel_Cyrl", "bm": "bam_Latn",
    "bo": "bod_Tibt", "bs": "bos_Latn", "ca": "cat_Latn", "cs": "ces_Latn", "cy": "cym_Latn", "da": "dan_Latn", "dz": "dzo_Tibt",
    "ee": "ewe_Latn", "eo": "epo_Latn", "ff": "fuv_Latn", "fj": "fij_Latn", "fo": "fao_Latn", "ga": "gle_Latn", "gd": "gla_Latn",
    "gl": "glg_Latn", "gn": "grn_Latn", "ha": "hau_Latn", "hr": "hrv_Latn", "hy": "hye_Armn", "ig": "ibo_Latn", "is": "isl_Latn",
    "kg": "kon_Latn", "ki": "kik_Latn", "km": "khm_Khmr", "kn": "kan_Knda", "ku": "kmr_Latn", "ky": "kir_Cyrl", "lb": "ltz_Latn",
    "lg": "lug_Latn", "li": "lim_Latn", "ln": "lin_Latn", "lo": "lao_Laoo", "lv": "lvs_Latn", "mg": "plt_Latn", "mi": "mri_Latn",
    "mk": "mkd_Cyrl", "mn": "khk_Cyrl", "mt": "mlt_Latn", "nb": "nob_Latn", "ne": "npi_Deva", "nn": "nno_Latn", "no": "nob_Latn",
    "ny": "nya_Latn", "oc": "oci_Latn", "om": "gaz_Latn", "or": "ory_Orya", "ps": "pbt_Arab", "rn": "run_Latn", "rw": "kin_Latn",
    "sa": "san_Deva", "sc": "srd_Latn", "sd": "snd_Arab", "sg": "sag_Latn", "si": "sin_Sinh", "sk": "slk_Latn", "sl": "slv_Latn",
    "sm": "smo_Latn", "sn": "sna_Latn", "so": "som_Latn", "sq": "als_Latn", "sr": "srp_Cyrl", "ss": "ssw_Latn", "st": "sot_Latn",
    "su": "sun_Latn", "sv": "swe_Latn", "tg": "tgk_Cyrl", "ti": "tir_Ethi", "tk": "tuk_Latn", "tn": "tsn_Latn", "ts": "tso_Latn",
    "tt": "tat_Cyrl", "tw": "twi_Latn", "ug": "uig_Arab", "uz": "uzn_Latn", "xh": "xho_Latn", "yi": "ydd_Hebr", "zu": "zul_Latn",
}  # fmt: skip


ENGLISH_NAMES = {name: code for code, name in HUB_NAMES.items()}


def our_codes(names: str) -> dict[str, str]:
    """FLORES names, separated by blanks -> {our code: FLORES name}, sorted by our code."""
    return dict(sorted((TWO_LETTERS.get(name, name), name) for name in names.split()))


def flores_name(language: str) -> str | None:
    """FLORES's name of a language that a user has written in any way: `deu_Latn` for de, DE, deu, deu_latn and German. None: not known."""
    written = ENGLISH_NAMES.get(language.capitalize(), language.lower())
    return NLLB_CODES.get(written) or next((name for name in NLLB_CODES.values() if written in (name.lower(), name[:3])), None)


def meant(language: str, codes: Iterable[str]) -> str:
    """` Did you mean 'de'?` for a language that is none of `codes` as it is written, or nothing.

    Where `codes` lack the language itself, no other one is offered: each code of two letters is near to many.
    """
    name = flores_name(language)
    if name is None:
        return near(language, codes) if len(language) > 2 else ""
    return "".join(f" Did you mean {code!r}?" for code in codes if flores_name(code) == name)


def meant_or_all(language: str, codes: Iterable[str]) -> str:
    """`Did you mean 'de'?`, or the list of codes where no other spelling of one is meant."""
    return meant(language, codes).lstrip() or f"Known: {', '.join(codes)}."
