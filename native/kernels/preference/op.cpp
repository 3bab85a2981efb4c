// Checks of the preference-loss op.
#include "kernels/preference/op.h"

#include "kernels/check.h"

namespace selfrefine {

void PreferenceLoss::check() const {
  const char* op = "preference_loss";
  expect_that(op, losses.rank == 1 && logps.rank == 1, "losses and logps must have rank 1");
  const int64_t p = losses.dim(0), m = logps.dim(0);
  expect(op, "losses", losses, {p}, DType::f32);
  expect(op, "logps", logps, {m}, DType::f32);
  expect(op, "dlogps", dlogps, {m}, DType::f32);
  expect(op, "sequence_logps", sequence_logps, {2 * p}, DType::f32);
  expect(op, "sequence_ends", sequence_ends, {2 * p}, DType::i32);
  expect(op, "reference_logps", reference_logps, {2 * p}, DType::f32);
  expect_that(op, 0 <= pair_begin && pair_begin <= pair_end && pair_end <= p, "pair range outside of the pairs");
  expect_that(op, beta > 0, "beta must be positive");
  expect_that(op, label_smoothing >= 0 && label_smoothing < 0.5f, "label_smoothing must lie in [0, 0.5)");
  const bool smooths = kind == PreferenceKind::sigmoid || kind == PreferenceKind::robust;
  expect_that(op, smooths || label_smoothing == 0, "label_smoothing has no effect on this loss");
}

}  // namespace selfrefine
