"""The policy: skeleton encoder, SignTranslator and the offline tokenizer."""
