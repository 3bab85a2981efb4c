// Weights from and to the data section of a file, a block at a time. Where which tensor stands is the caller's
// knowledge; here every entry is held against its parameter and the file.
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "core/error.h"
#include "engine/blocks.h"
#include "engine/file.h"
#include "engine/half.h"
#include "engine/model.h"

namespace selfrefine {

namespace {

/// The parameter of an entry. Throws unless its rows lie inside.
const Parameter& checked(const Parameter& parameter, const std::string& path, const TensorEntry& entry) {
  if (entry.row_offset < 0 || entry.rows < 0 || entry.rows > parameter.rows ||
      entry.row_offset > parameter.rows - entry.rows) {
    fail(ErrorCode::invalid_argument, path, ": rows [", entry.row_offset, ", ", entry.row_offset + entry.rows,
         ") of ", parameter.name, ", which has ", parameter.rows);
  }
  const int64_t bytes = entry.rows * parameter.columns * size_of(entry.dtype);
  if (entry.file_offset < 0 || entry.file_offset > std::numeric_limits<int64_t>::max() - bytes) {
    fail(ErrorCode::invalid_argument, path, ": ", parameter.name, " at byte ", entry.file_offset, ", not a place");
  }
  return parameter;
}

void to_floats(DType dtype, const char* from, float* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    if (dtype == DType::f32) {
      std::memcpy(to + i, from + 4 * i, 4);
      continue;
    }
    uint16_t bits;
    std::memcpy(&bits, from + 2 * i, 2);
    to[i] = dtype == DType::bf16 ? to_float(bf16{bits}) : half_to_float(bits);
  }
}

void from_floats(DType dtype, const float* from, char* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    if (dtype == DType::f32) {
      std::memcpy(to + 4 * i, from + i, 4);
      continue;
    }
    const uint16_t bits = dtype == DType::bf16 ? from_float<bf16>(from[i]).bits : float_to_half(from[i]);
    std::memcpy(to + 2 * i, &bits, 2);
  }
}

void expect_finite(const std::string& path, const char* verb, const Parameter& parameter, const float* values,
                   int64_t n, int64_t first) {
  for (int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(values[i])) {
      const int64_t element = first + i;
      fail(ErrorCode::invalid_argument, path, ": ", parameter.name, " [", element / parameter.columns, ", ",
           element % parameter.columns, "] is ", values[i], "; ", verb);
    }
  }
}

void expect_storable(DType dtype) {
  if (dtype != DType::f32 && dtype != DType::bf16 && dtype != DType::f16) {
    fail(ErrorCode::unsupported, "weights as ", name_of(dtype), ", expected F32, BF16 or F16");
  }
}

}  // namespace

void Model::read(const std::string& path, const std::vector<TensorEntry>& entries) {
  const InputFile file(path);
  for (const TensorEntry& entry : entries) {
    expect_storable(entry.dtype);
    const Parameter& parameter = checked(this->parameter(entry.parameter), path, entry);
    const int64_t end = entry.file_offset + entry.rows * parameter.columns * size_of(entry.dtype);
    if (end > file.size()) {
      fail(ErrorCode::io, path, ": has ", file.size(), " bytes, but ", parameter.name, " ends at byte ", end,
           "; the file is truncated, fetch or write it again");
    }
  }
  std::vector<char> block(static_cast<size_t>(Blocks::kFloats * 4));
  Blocks blocks(*backend_);
  for (const TensorEntry& entry : entries) {
    const Parameter& parameter = this->parameter(entry.parameter);
    const int64_t first = entry.row_offset * parameter.columns, count = entry.rows * parameter.columns;
    blocks.write(exact_of(entry.parameter).rows(first, first + count), [&](float* out, int64_t done, int64_t n) {
      file.read(entry.file_offset + done * size_of(entry.dtype), block.data(), n * size_of(entry.dtype));
      to_floats(entry.dtype, block.data(), out, n);
      expect_finite(path, "the checkpoint is damaged or its training diverged", parameter, out, n, first + done);
    });
  }
  sync();
}

void Model::write(const std::string& path, const std::string& header, const std::vector<TensorEntry>& entries) const {
  for (const TensorEntry& entry : entries) {
    expect_storable(entry.dtype);
    checked(parameter(entry.parameter), path, entry);
  }
  OutputFile file(path);
  file.write(0, header.data(), static_cast<int64_t>(header.size()));
  std::vector<char> block(static_cast<size_t>(Blocks::kFloats * 4));
  Blocks blocks(*backend_);
  std::vector<float> stored(static_cast<size_t>(Blocks::kFloats));
  for (const TensorEntry& entry : entries) {
    const Parameter& parameter = this->parameter(entry.parameter);
    const int64_t first = entry.row_offset * parameter.columns, count = entry.rows * parameter.columns;
    const Tensor rows = exact_of(entry.parameter).rows(first, first + count);
    blocks.read(rows, [&](const float* values, int64_t done, int64_t n) {
      from_floats(entry.dtype, values, block.data(), n);
      to_floats(entry.dtype, block.data(), stored.data(), n);
      expect_finite(path, "a weight that is not finite, or too large for the type of the file, is not written",
                    parameter, stored.data(), n, first + done);
      file.write(entry.file_offset + done * size_of(entry.dtype), block.data(), n * size_of(entry.dtype));
    });
  }
  file.finish();
}

}  // namespace selfrefine
