"""Phase 3: no training. Embed the sentences of a retrieval task, match them by distance, score every language.

    accelerate launch run_retrieval.py --task tatoeba --model_name_or_path out/mnli --output_dir out/mnli/tatoeba

Leaves results.json, predictions/ and labels/ (XTREME's formats) in --output_dir. Run again, a finished run is skipped.
"""

import time
from dataclasses import dataclass, field

from arguments import CommonArguments, is_main_process, parse, run_script, say


@dataclass
class ScriptArguments(CommonArguments):
    """Flags of this script."""

    output_dir: str | None = field(default=None, metadata={"help": "Where results and predictions go."})
    languages: list[str] | None = field(default=None, metadata={"help": "Score these languages only; all of the task by default."})
    layer: int | None = field(default=None, metadata={"help": "Hidden state that is read: 0 the embedding output, n that of block n."})
    pooling: str | None = field(default=None, metadata={"help": "mean (over all pieces, <s> and </s> among them) or cls."})
    max_predict_samples: int | None = field(default=None, metadata={"help": "Use the first this many pairs of each language."})
    batch_tokens: int = field(default=8192, metadata={"help": "Padded tokens per batch; lower it where memory is short."})
    use_cpu: bool = field(default=False, metadata={"help": "Stay off the GPU."})


def main() -> dict:
    """Runs the script. -> what stands in results.json"""
    started = time.time()
    args, _, task, recipe = parse(ScriptArguments, "retrieval")

    import torch
    from accelerate import Accelerator

    from checkpoints import check_length, describe_model, load_config, load_encoder, load_tokenizer
    from predictions import write_labels, write_predictions
    from results import finish_run, lineage_of, mean_over_languages, model_identity, read_json, score_table, start_run
    from task_adapters import InputError, load_examples, nearest
    from task_types.retrieval import POOLINGS, embed, nearest_neighbours, sorted_english

    # ---- the output folder: new or finished
    if not args.output_dir:
        raise InputError("--output_dir is missing.")
    if args.pooling not in POOLINGS:
        raise InputError(f"Unknown --pooling {args.pooling!r}. {nearest(args.pooling, POOLINGS)}")
    accelerator = Accelerator(cpu=args.use_cpu)
    names = ("recipe", "layer", "pooling", "max_seq_length", "max_predict_samples", "languages")
    run = {
        "phase": "retrieval",
        "task": task.name,
        **model_identity(args.model_name_or_path),
        **{name: getattr(args, name) for name in names},
    }
    with accelerator.main_process_first():
        finished = start_run(args.output_dir, run, overwrite=args.overwrite and is_main_process())
    if finished:
        say(f"{args.output_dir} is finished: skipped (--overwrite redoes it)")
        return read_json(f"{args.output_dir}/results.json")

    # ---- model: the encoder, as far as the layer that is read
    tokenizer = load_tokenizer(args.model_name_or_path, needs_offsets=False)
    config = load_config(args.model_name_or_path)
    check_length(args.max_seq_length, config, tokenizer, args.model_name_or_path)
    if not 0 <= args.layer <= config.num_hidden_layers:
        raise InputError(f"--layer {args.layer}: {args.model_name_or_path!r} has hidden states 0 to {config.num_hidden_layers}.")
    # One block more than is read: some architectures normalise what the last block leaves, and only that.
    model = load_encoder(args.model_name_or_path, layers=args.layer + 1).to(accelerator.device).eval()
    say(f"{task.name}: {accelerator.num_processes} process(es) on {accelerator.device.type}, layer {args.layer}, {args.pooling} pooling")

    # ---- test, language by language; a sentence that several languages share is embedded once
    data, scores, seen = [], {}, {}

    def vectors_of(texts, language):
        fresh = [text for text in dict.fromkeys(texts) if text not in seen]
        if fresh:
            vectors = embed(
                fresh, model, tokenizer, args.layer, args.pooling, args.max_seq_length, args.batch_tokens, accelerator, language
            )
            seen.update(zip(fresh, vectors))
        return torch.stack([seen[text] for text in texts])

    for language in args.languages or task.languages:
        with accelerator.main_process_first():
            examples, provenance = load_examples(task, "test", language, args.data_dir, args.max_predict_samples)
        data.append(provenance)
        foreign, english = vectors_of(examples["source"], language), vectors_of(examples["target"], "en")
        gold = sorted_english(examples)
        predicted = [int(row) for row in nearest_neighbours(english[gold], foreign)]
        scores[language] = {**task.metric(gold, predicted, language), "examples": len(examples)}
        if accelerator.is_main_process:
            write_predictions(f"{args.output_dir}/predictions", task.name, language, predicted)
            write_labels(f"{args.output_dir}/labels", task.name, language, gold)

    # ---- results
    if accelerator.is_main_process:
        results = finish_run(args.output_dir, {
            **run,
            "model": describe_model(args.model_name_or_path, config),
            "lineage": lineage_of(args.model_name_or_path),
            "scores": scores,
            "mean": mean_over_languages(task, scores),
            "data": data,
            "world_size": accelerator.num_processes,
            "seconds": round(time.time() - started, 1),
        })  # fmt: skip
        say(score_table(task, scores))
        return results


if __name__ == "__main__":
    run_script(main)
