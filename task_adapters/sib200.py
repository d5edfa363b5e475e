"""SIB-200 (Adelani et al., 2024): the topic of a sentence in 205 languages and scripts, seven topics, parallel.

https://huggingface.co/datasets/Davlan/sib200, Apache 2.0; the sentences are FLORES-200's, CC BY-SA 4.0. Part of neither XTREME nor
XTREME-R: its mean stands alone. Files are tsv with csv's quoting. The oddity: the hub lists N'Ko as `nqo_Nkoo.zip`, which does not load;
the project's own repository (https://github.com/dadelani/sib-200) has it, to be read by --data_dir. No settings of its authors were read:
the recipe is jiant's, with 20 epochs, as 701 rows are 22 steps of 32.
"""

import json

from datasets import Dataset

from metrics import accuracy
from task_adapters.base import Recipe, Source, Task
from task_adapters.files import has_text_rows
from task_adapters.flores import our_codes

LANGUAGES = our_codes("""
ace_Arab ace_Latn acm_Arab acq_Arab aeb_Arab afr_Latn ajp_Arab aka_Latn als_Latn amh_Ethi apc_Arab arb_Arab arb_Latn ars_Arab ary_Arab
arz_Arab asm_Beng ast_Latn awa_Deva ayr_Latn azb_Arab azj_Latn bak_Cyrl bam_Latn ban_Latn bel_Cyrl bem_Latn ben_Beng bho_Deva bjn_Arab
bjn_Latn bod_Tibt bos_Latn bug_Latn bul_Cyrl cat_Latn ceb_Latn ces_Latn cjk_Latn ckb_Arab crh_Latn cym_Latn dan_Latn deu_Latn dik_Latn
dyu_Latn dzo_Tibt ell_Grek eng_Latn epo_Latn est_Latn eus_Latn ewe_Latn fao_Latn fij_Latn fin_Latn fon_Latn fra_Latn fur_Latn fuv_Latn
gaz_Latn gla_Latn gle_Latn glg_Latn grn_Latn guj_Gujr hat_Latn hau_Latn heb_Hebr hin_Deva hne_Deva hrv_Latn hun_Latn hye_Armn ibo_Latn
ilo_Latn ind_Latn isl_Latn ita_Latn jav_Latn jpn_Jpan kab_Latn kac_Latn kam_Latn kan_Knda kas_Arab kas_Deva kat_Geor kaz_Cyrl kbp_Latn
kea_Latn khk_Cyrl khm_Khmr kik_Latn kin_Latn kir_Cyrl kmb_Latn kmr_Latn knc_Arab knc_Latn kon_Latn kor_Hang lao_Laoo lij_Latn lim_Latn
lin_Latn lit_Latn lmo_Latn ltg_Latn ltz_Latn lua_Latn lug_Latn luo_Latn lus_Latn lvs_Latn mag_Deva mai_Deva mal_Mlym mar_Deva min_Arab
min_Latn mkd_Cyrl mlt_Latn mni_Beng mos_Latn mri_Latn mya_Mymr nld_Latn nno_Latn nob_Latn npi_Deva nqo_Nkoo nso_Latn nus_Latn nya_Latn
oci_Latn ory_Orya pag_Latn pan_Guru pap_Latn pbt_Arab pes_Arab plt_Latn pol_Latn por_Latn prs_Arab quy_Latn ron_Latn run_Latn rus_Cyrl
sag_Latn san_Deva sat_Olck scn_Latn shn_Mymr sin_Sinh slk_Latn slv_Latn smo_Latn sna_Latn snd_Arab som_Latn sot_Latn spa_Latn srd_Latn
srp_Cyrl ssw_Latn sun_Latn swe_Latn swh_Latn szl_Latn tam_Taml taq_Latn taq_Tfng tat_Cyrl tel_Telu tgk_Cyrl tgl_Latn tha_Thai tir_Ethi
tpi_Latn tsn_Latn tso_Latn tuk_Latn tum_Latn tur_Latn twi_Latn tzm_Tfng uig_Arab ukr_Cyrl umb_Latn urd_Arab uzn_Latn vec_Latn vie_Latn
war_Latn wol_Latn xho_Latn ydd_Hebr yor_Latn yue_Hant zho_Hans zho_Hant zsm_Latn zul_Latn
""")


class TsvFiles(Source):
    """The repository's own files, in whose texts quotation marks are doubled."""

    def load(self, split: str, language: str, data_dir: str | None) -> tuple[Dataset, str | None]:
        """-> (rows, revision), as `Source.load` has them, with texts as their authors wrote them."""
        rows, revision = super().load(split, language, data_dir)
        return (rows.map(_with_plain_text) if has_text_rows(rows) else rows), revision


def _with_plain_text(row):
    fields, text = json.loads(row["row"]), json.loads(row["row"]).get("text") or ""
    is_quoted = ".tsv, " in row["location"] and len(text) > 1 and text[0] == text[-1] == '"'
    return {"row": json.dumps({**fields, "text": text[1:-1].replace('""', '"')})} if is_quoted else {}


def to_example(row: dict) -> dict:
    return {"text_a": row["text"], "text_b": "", "label": row["category"]}


TASK = Task(
    name="sib200",
    phase="target",
    task_type="classification",
    sources=(
        TsvFiles(
            "Davlan/sib200",
            config="{name}",
            names=LANGUAGES,
            splits={"train": "train", "dev": "validation", "test": "test"},
            rows={"train": 701, "dev": 99, "test": 204},
            file_names={"validation": ("dev",)},
        ),
    ),
    to_example=to_example,
    labels=("entertainment", "geography", "health", "politics", "science/technology", "sports", "travel"),
    metric=accuracy,
    dev_metric="accuracy",
    languages=tuple(LANGUAGES),
    recipes={"jiant": Recipe(num_train_epochs=20, eval_steps=50, selection="best")},
    licence="Apache 2.0, CC BY-SA 4.0",
)
