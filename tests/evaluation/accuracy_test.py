import numpy as np

from fedsafe_tff import keys
from fedsafe_tff.evaluation.accuracy import Scorer, to_float
from fedsafe_tff.models.cnn import build_cnn
from fedsafe_tff.models.functional import cross_entropy

MODEL = build_cnn(input_shape=(16, 16, 1), num_classes=3, conv_widths=[4] * 6, dropout=0.5)
IMAGES = np.random.default_rng(0).integers(0, 256, (10, 16, 16, 1)).astype(np.uint8)
LABELS = (np.arange(10) % 3).astype(np.int32)


def test_batches_do_not_change_the_result_and_dropout_is_off():
  weights = MODEL.init(keys.root(0))
  direct = MODEL.apply(weights, to_float(IMAGES)).numpy()
  np.testing.assert_allclose(Scorer(MODEL, 3).logits(weights, IMAGES), direct, atol=1e-5)
  loss, accuracy = Scorer(MODEL, 4).loss_and_accuracy(weights, IMAGES, LABELS)
  assert np.isclose(loss, cross_entropy(direct, LABELS).numpy().mean(), atol=1e-5)
  assert accuracy == (direct.argmax(1) == LABELS).mean()
