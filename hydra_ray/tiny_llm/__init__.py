"""The bundled black box: a Llama of about a million parameters that follows the examples in its prompt."""
