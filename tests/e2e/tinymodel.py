"""A language model of half a megabyte, and a llama.cpp server for it.

The model is a Llama with random weights: it says small letters without meaning, but the server that says them is the
real one.
Run as a program it writes the model, serves it and says where: ``python -m tests.e2e.tinymodel FILE``.  It needs
xllamacpp (llama.cpp's server inside a wheel), gguf and numpy; importing this module needs none of them.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

EMBEDDING = 64
LAYERS = 2
HEADS = 4
FEED_FORWARD = 128
TRAINED_CONTEXT = 8192

#: The special tokens that follow the 256 bytes.
SPECIALS = ("<|bos|>", "<|eos|>", "<|im_start|>", "<|im_end|>")

#: What the model says: the rows of all other tokens in its last matrix are zero, and hardly ever come first.
LETTERS = "abcdefghijklmnopqrstuvwxyz "

#: ChatML.  Content may be a list of parts: llama.cpp hands messages over as they came.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

#: The tokens of an answer: the model never ends one by itself.
ANSWER_TOKENS = 24

#: The key that the server wants.
KEY = "sk-tiny"


def byte_symbols() -> list[str]:
    """One printable character for each byte, in the order of GPT-2's vocabulary: printable bytes are themselves, each
    of the others is the next free character from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    free = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(free)) for byte in range(256)]


def write_model(path: Path, seed: int = 1) -> None:
    """Write the model to `path` in GGUF; the same seed gives the same weights."""
    import gguf  # type: ignore[import-not-found, unused-ignore]

    vocabulary = [*byte_symbols(), *SPECIALS]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(TRAINED_CONTEXT)
    writer.add_embedding_length(EMBEDDING)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(EMBEDDING // HEADS)
    writer.add_vocab_size(len(vocabulary))
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary)
    normal, control = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL
    writer.add_token_types([*[normal] * 256, *[control] * len(SPECIALS)])
    # without any merge the tokenizer is refused
    writer.add_token_merges(["h e"])
    writer.add_bos_token_id(vocabulary.index("<|bos|>"))
    writer.add_eos_token_id(vocabulary.index("<|eos|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
    _add_weights(writer, vocabulary, seed)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_weights(writer: Any, vocabulary: list[str], seed: int) -> None:
    import numpy  # type: ignore[import-not-found, unused-ignore]

    chance = numpy.random.default_rng(seed)

    def matrix(name: str, rows: int, columns: int, scale: Any = 0.08) -> None:
        values = chance.standard_normal((rows, columns)) * scale
        writer.add_tensor(f"{name}.weight", values.astype(numpy.float32))

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", numpy.ones(EMBEDDING, numpy.float32))

    matrix("token_embd", len(vocabulary), EMBEDDING)
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        norm(f"{block}.attn_norm")
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"{block}.{part}", EMBEDDING, EMBEDDING)
        norm(f"{block}.ffn_norm")
        matrix(f"{block}.ffn_gate", FEED_FORWARD, EMBEDDING)
        matrix(f"{block}.ffn_up", FEED_FORWARD, EMBEDDING)
        matrix(f"{block}.ffn_down", EMBEDDING, FEED_FORWARD)
    norm("output_norm")
    said = {byte_symbols()[ord(letter)] for letter in LETTERS}
    matrix("output", len(vocabulary), EMBEDDING, numpy.array([[symbol in said] for symbol in vocabulary]))


def serve(model: Path) -> None:
    """Serve `model` on a port of 127.0.0.1 that the kernel chooses, say where, and go on until the process is ended."""
    import xllamacpp  # type: ignore[import-not-found, unused-ignore]

    settings = xllamacpp.CommonParams()
    settings.model.path = str(model)
    settings.model_alias = {"tiny"}
    settings.api_keys = [KEY]
    settings.hostnames = ["127.0.0.1"]
    settings.port = 0
    settings.n_ctx = TRAINED_CONTEXT
    settings.n_parallel = 2
    settings.n_predict = ANSWER_TOKENS
    settings.cpuparams.n_threads = 1
    settings.cpuparams_batch.n_threads = 1
    settings.use_jinja = True
    settings.warmup = False
    server = xllamacpp.Server(settings)
    # one write, and a line of its own: the server's threads log to the same pipe
    os.write(1, f"\nllama.cpp is ready: {server.listening_address}\n".encode())
    threading.Event().wait()


if __name__ == "__main__":
    path = Path(sys.argv[1])
    write_model(path)
    serve(path)
