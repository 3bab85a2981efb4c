// POSIX files with every short count, interruption and full disk handled.
#include "engine/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/error.h"

namespace selfrefine {

namespace {

constexpr int64_t kMostPerCall = int64_t{1} << 30;  // Linux transfers less than 2 GiB a call

const char* remedy(int error) {
  switch (error) {
    case ENOSPC: case EDQUOT: return "; free space on this disk or choose another directory";
    case EACCES: case EPERM: case EROFS: return "; check the permissions of the directory";
    case ENOENT: return "; check the path";
    case EFBIG: return "; the file is larger than this system or its limits allow";
    default: return "";
  }
}

[[noreturn]] void fail_io(const char* what, const std::string& path, int error) {
  fail(ErrorCode::io, path, ": cannot ", what, ": ", std::strerror(error), remedy(error));
}

int open_file(const char* what, const std::string& path, int flags) {
  int descriptor;
  do descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  while (descriptor < 0 && errno == EINTR);
  if (descriptor < 0) fail_io(what, path, errno);
  return descriptor;
}

}  // namespace

InputFile::InputFile(const std::string& path) : path_(path), descriptor_(open_file("open", path, O_RDONLY)) {
  struct stat status;
  const bool known = ::fstat(descriptor_, &status) == 0;
  const int error = known && S_ISDIR(status.st_mode) ? EISDIR : known ? 0 : errno;
  if (error != 0) {
    ::close(descriptor_);
    fail_io("read", path, error);
  }
  size_ = status.st_size;
}

InputFile::~InputFile() { ::close(descriptor_); }

void InputFile::read(int64_t offset, void* out, int64_t bytes) const {
  auto* to = static_cast<char*>(out);
  for (int64_t done = 0; done < bytes;) {
    const auto want = static_cast<size_t>(std::min(bytes - done, kMostPerCall));
    const ssize_t got = ::pread(descriptor_, to + done, want, offset + done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_io("read", path_, errno);
    if (got == 0) {
      fail(ErrorCode::io, path_, ": ends at byte ", offset + done, ", expected data up to byte ", offset + bytes,
           "; the file is truncated, fetch or write it again");
    }
    done += got;
  }
}

OutputFile::OutputFile(const std::string& path)
    : path_(path), descriptor_(open_file("create", path, O_WRONLY | O_CREAT | O_TRUNC)) {}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void OutputFile::write(int64_t offset, const void* data, int64_t bytes) {
  const auto* from = static_cast<const char*>(data);
  for (int64_t done = 0; done < bytes;) {
    const auto want = static_cast<size_t>(std::min(bytes - done, kMostPerCall));
    const ssize_t put = ::pwrite(descriptor_, from + done, want, offset + done);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) fail_io("write", path_, put < 0 ? errno : ENOSPC);
    done += put;
  }
}

void OutputFile::finish() {
  // Devices and pipes cannot be flushed; what they refuse shows in write().
  if (::fsync(descriptor_) != 0 && errno != EINVAL && errno != EROFS) fail_io("flush", path_, errno);
  const int descriptor = descriptor_;
  descriptor_ = -1;
  if (::close(descriptor) != 0 && errno != EINTR) fail_io("close", path_, errno);
}

}  // namespace selfrefine
