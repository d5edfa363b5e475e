"""Phase 3: no training. Embed the sentences of a retrieval task, match them by distance, score every language.

    accelerate launch run_retrieval.py --task tatoeba --model_name_or_path out/mnli --output_dir out/mnli/tatoeba
    accelerate launch run_retrieval.py --task bucc --data_dir data --model_name_or_path out/mnli --output_dir out/mnli/bucc
    accelerate launch run_retrieval.py --task tatoeba --layers all --model_name_or_path out/mnli --output_dir out/mnli/layers

Leaves results.json, predictions/ and labels/ (XTREME's formats) in --output_dir. Run again, a finished run is skipped and one that was
cut off goes on with the first language that it had not scored.
"""

import os
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from foreign_flags import refuse_unknown

if __name__ == "__main__":  # before the imports below, which take seconds
    refuse_unknown(sys.argv)

from arguments import CommonArguments, parse
from console import run_script, say
from run_log import Countdown
from settings import describe_search


@dataclass
class ScriptArguments(CommonArguments):
    """Flags of this script."""

    output_dir: str | None = field(default=None, metadata={"help": "Where the results, the predictions and the log go."})
    languages: list[str] | None = field(default=None, metadata={"help": "Score these languages only; all of the task by default."})
    layer: str | None = field(
        default=None,
        metadata={"help": "Layer that is read: 0 (embeddings) to the number of blocks, last, or best (chosen on the other languages)."},
    )
    layers: list[str] | None = field(
        default=None, metadata={"help": "Tatoeba: also measure these layers, or `all`, in the same pass over the text."}
    )
    pooling: str | None = field(
        default=None, metadata={"help": "How token vectors become one: mean (over all tokens, <s> and </s> too), cls or pooler."}
    )
    lower_case: bool = field(default=False, metadata={"help": "Lower-case all texts, as XTREME-R's dual encoders were trained."})
    test_file: list[str] | None = field(
        default=None,
        metadata={"help": "Tatoeba: also score these files of pairs (LANG=PATH), in any language; a file replaces Tatoeba's own pairs."},
    )
    max_predict_samples: int | None = field(default=None, metadata={"help": "Tatoeba: use only the first N pairs of each language."})
    batch_tokens: int | None = field(
        default=None, metadata={"help": "Tokens per batch, padding included; by default 8192 on a GPU and 1024 on a CPU."}
    )
    save_probabilities: bool = field(
        default=True, metadata={"help": "Tatoeba, BUCC: keep similarities and margins beside the predictions."}
    )
    use_cpu: bool = field(default=False, metadata={"help": "Stay off the GPU."})
    precision: Literal["fp32", "tf32", "bf16", "fp16"] | None = field(
        default=None,
        metadata={"help": "Precision of the encoder; by default tf32 on a GPU that has it, else fp32. bf16, fp16: faster, other pairs."},
    )
    report_to: str = field(
        default="none", metadata={"help": "Tracker that the scores are sent to: tensorboard, wandb, mlflow, trackio, ..."}
    )
    run_name: str | None = field(default=None, metadata={"help": "Name of this run in the tracker."})
    project: str = field(default="huggingface", metadata={"help": "Name of the project in Trackio."})
    padding_free: Literal["auto", "on", "off"] = field(
        default="auto", metadata={"help": "Compute no padding tokens. auto: on a GPU, if the encoder allows it."}
    )


def main() -> dict:
    """Runs the script. -> what stands in results.json"""
    started = time.time()
    args, tracking, (task,), recipe = parse(ScriptArguments, "retrieval")

    from accelerate import Accelerator

    from predictions import write_labels, write_predictions
    from report.publish import share
    from results import RunFolder, device_name, mean_over_languages, own_data, xtreme_scores
    from speed import padding_free
    from task_adapters import InputError, nearest
    from task_types import layers, mining, ranking
    from task_types.dual_encoder import check_last_layer, check_vectors
    from task_types.pair_search import PairSearch
    from task_types.precision import computing_in, default_precision
    from task_types.probabilities import of_pairs, probabilities_path, write
    from task_types.retrieval import POOLINGS, default_batch_tokens, embed
    from trainer.checkpoints import check_length, check_model, load_config, load_encoder
    from trainer.inputs import DataReader, inputs_of
    from trainer.outcome import outcome
    from trainer.stages import check_stage_before, lineage_and_stages
    from trainer.tokenizers import load_tokenizer
    from trainer.trackers import report_scores

    # ---- the output folder: new, cut off, or finished
    if not args.output_dir:
        raise InputError("--output_dir is missing. For example: --output_dir out/tatoeba")
    if args.pooling not in POOLINGS:
        raise InputError(f"Unknown --pooling {args.pooling!r}. {nearest(args.pooling, POOLINGS)}")
    is_ranking = task.task_type == "ranking"
    accelerator = Accelerator(cpu=args.use_cpu)
    precision = args.precision or default_precision(accelerator.device)
    if int(os.environ.get("WORLD_SIZE", 1)) != accelerator.num_processes:
        raise InputError("Several processes were launched, but each of them runs alone. On a machine without GPU add --use_cpu.")
    check_stage_before(task, recipe, args)
    check_model(args.model_name_or_path)
    config = load_config(args.model_name_or_path)
    check_last_layer(args, config)
    with accelerator.main_process_first():
        folder = RunFolder(args.output_dir, describe_search(args, task, precision), args.model_name_or_path, args.overwrite, started)

    # ---- examples: the text of every language before hours of embedding
    tokenizer = load_tokenizer(args.model_name_or_path, False, args.tokenizer_as_loaded)
    check_length(args.max_seq_length, config, tokenizer, args.model_name_or_path)
    read = layers.layers_to_read(args, config)
    check_vectors(args, config)
    languages = args.languages or task.languages

    reader, max_samples, dev, test = DataReader(args, accelerator.main_process_first), args.max_predict_samples, {}, {}
    for language in languages:
        test[language] = reader.read(task, "test", language, max_samples)
        if task.task_type == "mining" and any(source.holds("dev", language, args.data_dir) for source in task.sources):
            dev[language] = reader.read(task, "dev", language, max_samples)
    has_candidates = is_ranking and task.languages_with("candidates")
    candidates = reader.read(task, "candidates", languages[0], max_samples) if has_candidates else None
    if is_ranking:
        ranking.check_ids(task.name, test, candidates)
    if results := folder.agree(inputs_of(args.model_name_or_path, config, tokenizer, reader.provenances)):
        say(f"{args.output_dir} is finished: skipped (--overwrite redoes it)\n{outcome([task], results)}")
        share(args.output_dir, None, is_new=False)
        return results

    # ---- model: the encoder, as far as the layer that is read
    model = load_encoder(args.model_name_or_path, max(read), args.pooling).eval()
    with accelerator.main_process_first():
        folder.begin(seed=None)
    # Candidates of all languages are ranked together, and --layer best is chosen on all: where one language is to be scored, all are.
    is_joint = is_ranking or args.layer == layers.BEST
    scored = [] if is_joint and len(folder.scored) < len(languages) else folder.scored
    for language in scored:
        say(f"{task.name} {language}: scored before this run was cut off")
    test = {language: examples for language, examples in test.items() if language not in scored}
    padding_free.set_up(model, args.padding_free, accelerator.device, {precision if precision in padding_free.DTYPES else "no"})
    model.to(accelerator.device)
    how = f"{accelerator.device.type}, layer {args.layer}, {args.pooling} pooling{', padding-free' * padding_free.is_packed(model)}"
    say(f"{task.name}: {accelerator.num_processes} process(es) on {how}, {precision}")
    tokens_at_once = args.batch_tokens or default_batch_tokens(accelerator.device)

    def vectors_of(texts, description, max_length=args.max_seq_length):
        how = args.layer, args.pooling, max_length, tokens_at_once
        texts = [text.lower() for text in texts] if args.lower_case else texts
        with computing_in(precision, accelerator.device):
            return embed(texts, model, tokenizer, *how, accelerator, description)

    def states_of(texts, description):
        texts = [text.lower() for text in texts] if args.lower_case else texts
        with computing_in(precision, accelerator.device):
            return layers.States(
                texts, read, model, tokenizer, args.max_seq_length, tokens_at_once, accelerator, args.output_dir, description
            )

    def keep(language, arrays_of, *values):
        if args.save_probabilities and accelerator.is_main_process:
            write(probabilities_path(args.output_dir, task.name, language), arrays_of(*values))

    # ---- BUCC: translations are mined from all sentences, the threshold is chosen on dev where there is one
    def mine(language):
        def vectors(texts, part):
            return vectors_of(texts, f"{language} {part}").to(accelerator.device)

        gold, predicted, details = mining.mine(
            test[language], dev.get(language), vectors, recipe.duplicates, partial(keep, language, of_pairs)
        )
        say(f"{task.name} {language}: " + ", ".join(f"{name} {value}" for name, value in details.items()))
        return gold, predicted, {**task.metric(gold, predicted, language), "examples": len(test[language])}, details

    # ---- test, language by language
    score = mine
    if is_ranking and test:  # LAReQA, Mewsli-X: questions look for their answers among the candidates of all languages
        lengths = recipe.query_length, args.max_seq_length
        score = ranking.score(task, test, vectors_of, *lengths, accelerator.device, candidates).get
    if args.layers:
        score = layers.LayerSearch(task, test, states_of, read, args.layer, args.pooling, keep)
    elif task.task_type == "retrieval":
        score = PairSearch(task, test, vectors_of, keep)
    countdown = Countdown({language: len(examples) for language, examples in test.items()}, len(languages))
    for language in test:
        gold, predicted, scores, details = score(language)
        if accelerator.is_main_process:
            write_predictions(f"{args.output_dir}/predictions", task.name, language, predicted)
            write_labels(f"{args.output_dir}/labels", task.name, language, gold)
        folder.note_scored(language, {"scores": scores, "details": details})
        say(f"{task.name} {language}: {task.dev_metric} {scores[task.dev_metric]:.2f} ({countdown.after(language)})")

    # ---- results
    scores = {language: folder.scored[language]["scores"] for language in languages}
    details = {language: folder.scored[language]["details"] for language in languages}
    by_gold = any(part.get("threshold_from", "dev") != "dev" for part in details.values())
    bias, by_layer, choices = (
        {language: part[name] for language, part in details.items() if name in part} for name in ("language_bias", "layers", "layer_choice")
    )
    comparable = not args.max_predict_samples and not by_gold and args.layer != layers.BEST
    if accelerator.is_main_process:
        results = folder.finish({
            **lineage_and_stages(folder.run["lineage"], recipe),
            "scores": scores,
            "mean": mean_over_languages(task, scores),
            **own_data(task, scores, reader.provenances),
            **xtreme_scores(task, scores, args.benchmark, comparable),
            "mining": {language: part for language, part in details.items() if part and task.task_type == "mining"},
            **({"language_bias": bias} if bias else {}),
            **({"by_layer": by_layer} if by_layer else {}),
            **({"layer_choice": choices} if choices else {}),
            "data": reader.provenances,
            "device": device_name(accelerator.device),
            "precision": precision,
            "padding_free": padding_free.is_packed(model),
            "world_size": accelerator.num_processes,
        })  # fmt: skip
        say(outcome([task], results))
        if tracking is not None:
            report_scores(tracking, model, results)
        share(args.output_dir, None, is_new=True)
        return results


if __name__ == "__main__":
    run_script(main)
