"""The miniature encoder: an XLM-R of a megabyte or two, trained by masked language modelling on the miniature text.

    python -m samples.write_data --output_dir samples/data          # the text; make demo and the grid write only the datasets
    python -m samples.pretrain --data_dir samples/data --output_dir samples/encoder

The encoder in samples/encoder was made by this command (42,000 steps, 25 minutes on one core).

The text of the languages is not parallel; names and numbers are all that they share. The recipe is that of XLM-R, but small: masked
tokens, one vocabulary for all languages, no language marks.
"""

import math
import string
from collections import Counter
from pathlib import Path

from samples.lexicon import read_lexicon
from samples.write_data import output_folder
from task_adapters.errors import OneLineParser

WIDTH, LAYERS, HEADS, VOCABULARY, MAX_LENGTH = 64, 3, 4, 3000, 64


def make_tokenizer(lines, folder):
    """A unigram tokenizer of XLM-R's kind, saved so that AutoTokenizer loads it.

    The data have so few word forms that each frequent one is a token; other words are split into characters. A word ends at
    punctuation too. Chinese has no spaces, so its words are those of the lexicon.
    """
    from tokenizers import Regex, pre_tokenizers
    from transformers import XLMRobertaTokenizer

    forms = (form for rows in read_lexicon("zh").values() for word, row in rows.items() for form in (word, *row.values()))
    chinese = sorted({word for form in forms for word in form.split() if not word.isascii()}, key=len, reverse=True)
    split = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation(),
        pre_tokenizers.Split(Regex("|".join(chinese)), "isolated"),
    ])  # fmt: skip
    counts = Counter(word for line in lines for word, _ in split.pre_tokenize_str(line))
    characters = {*string.ascii_letters, *string.digits, *string.punctuation, *(character for word in counts for character in word)}
    words = [(word, count) for word, count in counts.most_common(VOCABULARY - len(characters)) if count >= 20 and word not in characters]
    pieces = [(word, math.log(count / counts.total())) for word, count in words]
    # The unigram model must prefer a word to its characters, however few those are.
    pieces += [(character, math.log((counts[character] or 1) / counts.total()) - 10) for character in sorted(characters)]
    specials = [(piece, 0.0) for piece in ("<s>", "<pad>", "</s>", "<unk>")]
    tokenizer = XLMRobertaTokenizer(vocab=[*specials, *pieces, ("<mask>", 0.0)], model_max_length=512)
    tokenizer.save_pretrained(folder)
    return tokenizer


def pretrain(data_dir, output_dir, steps, seed=0, batch_size=64, learning_rate=2e-3):
    """Trains tokenizer and encoder on <data_dir>/text/*.txt and saves both. -> the last losses that were logged."""
    from datasets import load_dataset
    from torch.nn.functional import cross_entropy
    from transformers import (
        DataCollatorForLanguageModeling,
        Trainer,
        TrainingArguments,
        XLMRobertaConfig,
        XLMRobertaForMaskedLM,
        set_seed,
    )

    files = sorted(str(path) for path in (Path(data_dir) / "text").glob("*.txt"))
    if not files:
        raise SystemExit(f"{data_dir}/text holds no text: run python -m samples.write_data --output_dir {data_dir} first.")
    text = load_dataset("text", data_files=files, split="train")
    tokenizer = make_tokenizer(text["text"], output_dir)
    features = text.map(
        lambda batch: tokenizer(batch["text"], truncation=True, max_length=MAX_LENGTH), batched=True, remove_columns="text", desc="tokenise"
    )
    set_seed(seed)
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=2 * WIDTH,
        max_position_embeddings=514, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, pad_token_id=1, bos_token_id=0,
        eos_token_id=2, type_vocab_size=1, layer_norm_eps=1e-5, initializer_range=0.05,
    )  # fmt: skip
    model = XLMRobertaForMaskedLM(config)
    arguments = TrainingArguments(
        output_dir=output_dir, max_steps=steps, per_device_train_batch_size=batch_size, learning_rate=learning_rate, warmup_steps=0.05,
        weight_decay=0.01, lr_scheduler_type="linear", logging_steps=max(1, steps // 10), save_strategy="no", report_to="none", seed=seed,
        train_sampling_strategy="group_by_length", dataloader_pin_memory=False,
    )  # fmt: skip

    class MaskedOnly(Trainer):
        """Computes scores over the vocabulary only for masked tokens, which saves time."""

        def compute_loss(self, model, inputs, return_outputs=False, **_):
            labels = inputs.pop("labels")
            masked = labels != -100
            hidden = model.roberta(**inputs).last_hidden_state
            return cross_entropy(model.lm_head(hidden[masked]), labels[masked])

    # More random words than BERT's 10%, so that the encoder must check every word against its context.
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.2, mask_replace_prob=0.5, random_replace_prob=0.3)
    trainer = MaskedOnly(model=model, args=arguments, train_dataset=features, data_collator=collator, processing_class=tokenizer)
    trainer.train()
    trainer.save_model(output_dir)
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def main():
    parser = OneLineParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", default="samples/data")
    parser.add_argument("--output_dir", type=output_folder, default="samples/encoder")
    parser.add_argument("--steps", type=int, default=42000)
    parser.add_argument("--learning_rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(pretrain(args.data_dir, args.output_dir, args.steps, args.seed, learning_rate=args.learning_rate))


if __name__ == "__main__":
    main()
