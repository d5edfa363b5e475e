"""Belebele (Bandarkar et al., 2024): four answers to a question about a short passage, 122 languages and scripts, parallel.

https://huggingface.co/datasets/facebook/belebele, CC BY-SA 4.0. Part of neither XTREME nor XTREME-R. Test only: its authors train on six
English datasets together (67,500 questions, half of them RACE's); here the English training data is Cosmos QA, the one task of this
collection with a text, a question and four answers. Scores are therefore not comparable with the paper's fine-tuned ones, only among
themselves. The oddity: one jsonl per language, named by it (data/eng_Latn.jsonl), whose answers count from 1.
"""

from pathlib import Path

from metrics import accuracy
from task_adapters.base import Recipe, Source, Task
from task_adapters.flores import our_codes
from task_adapters.hub import files_in_folder, rows_from_folder

LANGUAGES = our_codes("""
acm_Arab afr_Latn als_Latn amh_Ethi apc_Arab arb_Arab arb_Latn ars_Arab ary_Arab arz_Arab asm_Beng azj_Latn bam_Latn ben_Beng ben_Latn
bod_Tibt bul_Cyrl cat_Latn ceb_Latn ces_Latn ckb_Arab dan_Latn deu_Latn ell_Grek eng_Latn est_Latn eus_Latn fin_Latn fra_Latn fuv_Latn
gaz_Latn grn_Latn guj_Gujr hat_Latn hau_Latn heb_Hebr hin_Deva hin_Latn hrv_Latn hun_Latn hye_Armn ibo_Latn ilo_Latn ind_Latn isl_Latn
ita_Latn jav_Latn jpn_Jpan kac_Latn kan_Knda kat_Geor kaz_Cyrl kea_Latn khk_Cyrl khm_Khmr kin_Latn kir_Cyrl kor_Hang lao_Laoo lin_Latn
lit_Latn lug_Latn luo_Latn lvs_Latn mal_Mlym mar_Deva mkd_Cyrl mlt_Latn mri_Latn mya_Mymr nld_Latn nob_Latn npi_Deva npi_Latn nso_Latn
nya_Latn ory_Orya pan_Guru pbt_Arab pes_Arab plt_Latn pol_Latn por_Latn ron_Latn rus_Cyrl shn_Mymr sin_Latn sin_Sinh slk_Latn slv_Latn
sna_Latn snd_Arab som_Latn sot_Latn spa_Latn srp_Cyrl ssw_Latn sun_Latn swe_Latn swh_Latn tam_Taml tel_Telu tgk_Cyrl tgl_Latn tha_Thai
tir_Ethi tsn_Latn tso_Latn tur_Latn ukr_Cyrl urd_Arab urd_Latn uzn_Latn vie_Latn war_Latn wol_Latn xho_Latn yor_Latn zho_Hans zho_Hant
zsm_Latn zul_Latn
""")


class OneFileEach(Source):
    """A hub repository whose files are named by language: data/{config}.jsonl is the only split."""

    def files(self, split: str, language: str, data_dir: str | None) -> list[Path]:
        folder = Path(data_dir or "") / self.hub_id
        return files_in_folder(folder, "default", self.config_for(language)) if data_dir and split in self.splits else []

    def _load_split(self, config, split, data_dir):
        if data_dir is None:
            return super()._load_split(config, split, data_dir)
        return rows_from_folder(Path(data_dir) / self.hub_id, "default", config)


def to_example(row: dict) -> dict:
    return {
        "context": row["flores_passage"],
        "question": row["question"],
        "choices": [row[f"mc_answer{number}"] for number in range(1, 5)],
        "label": int(row["correct_answer_num"]) - 1,
    }


TASK = Task(
    name="belebele",
    phase="target",
    task_type="multiple_choice",
    sources=(OneFileEach("facebook/belebele", config="{name}", names=LANGUAGES, splits={"test": "test"}, rows={"test": 900}),),
    to_example=to_example,
    metric=accuracy,
    dev_metric="accuracy",
    languages=tuple(LANGUAGES),
    train_on="cosmosqa",
    choices=4,
    recipes={"jiant": Recipe(max_seq_length=512)},  # passages of 79 English words are longer in tokens elsewhere
    licence="CC BY-SA 4.0",
)
