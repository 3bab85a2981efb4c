// Files as the engine needs them: positioned reads that never pass the end, writes that are complete and on disk or an
// error. Reads copy instead of mapping, so that a file cut short meanwhile is an error and not a SIGBUS.
#pragma once

#include <cstdint>
#include <string>

namespace selfrefine {

class InputFile {
 public:
  /// Throws ERR_IO with the path and the system's reason.
  explicit InputFile(const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& path() const { return path_; }
  int64_t size() const { return size_; }
  /// Throws ERR_IO if the file ends before offset + bytes.
  void read(int64_t offset, void* out, int64_t bytes) const;

 private:
  std::string path_;
  int descriptor_ = -1;
  int64_t size_ = 0;
};

class OutputFile {
 public:
  /// Creates or empties the file. Throws ERR_IO.
  explicit OutputFile(const std::string& path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  /// Throws ERR_IO, with the remedy when the disk is full.
  void write(int64_t offset, const void* data, int64_t bytes);
  /// Flushes to the disk and closes; without it the file must be taken as not written.
  void finish();

 private:
  std::string path_;
  int descriptor_ = -1;
};

}  // namespace selfrefine
