"""absl flags made from `fedsafe_tff.config`, and the presets that use them."""
