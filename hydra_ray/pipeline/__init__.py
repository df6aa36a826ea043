"""The main job: steps addressed by content, each a thin Ray shell around pure functions."""
