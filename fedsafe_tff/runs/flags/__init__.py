"""absl flags made from `fedsafe_tff.runs.config`, and the presets that use them."""
