"""The languages of benchmarks that are made of FLORES-200 (SIB-200, Belebele): {our code: FLORES's}.

FLORES names a language by three letters and its script (`eng_Latn`). A language of XTREME-R has two letters here, as in all other tasks, so
that one report can compare them; every other variety keeps the name that FLORES gives it.
"""

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


def our_codes(names: str) -> dict[str, str]:
    """FLORES names, separated by blanks -> {our code: FLORES name}, sorted by our code."""
    return dict(sorted((TWO_LETTERS.get(name, name), name) for name in names.split()))
