// selfrefine_cuda_check planted            kernels with planted errors: does the checker find each?
// selfrefine_cuda_check cases FILE [OP]    kernel tests' cases against the reference, in several thread orders: some
//                                          that start every kernel, or all of one op
// Built plain, with AddressSanitizer and UndefinedBehaviorSanitizer, or with ThreadSanitizer as the race checker.
#include "check.h"

#include <cstdio>
#include <string>

int main(int count, char** arguments) {
  const std::string mode = count > 1 ? arguments[1] : "";
  if (mode == "planted") return run_planted() == 0 ? 0 : 1;
  if (mode == "cases" && count > 2) return replay_cases(arguments[2], count > 3 ? arguments[3] : "") == 0 ? 0 : 1;
  std::fprintf(stderr, "usage: selfrefine_cuda_check planted | cases FILE [OP]\n");
  return 2;
}
