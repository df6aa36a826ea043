"""An encoder-decoder LM that answers in the process that asks, by transformers' `generate`."""
