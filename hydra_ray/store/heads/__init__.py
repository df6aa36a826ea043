"""The head store on Lance: spec, writing, reading, integrity."""
