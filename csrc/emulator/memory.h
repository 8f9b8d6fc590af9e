// Which memory a kernel may access. Global memory: the elements of the call's tensors, where each output element is
// written exactly once. Shared memory: accesses that clocks.h orders.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "clocks.h"

namespace lmf::emulator {

inline std::string address(const void* p) {
  char text[32];
  std::snprintf(text, sizeof text, "%p", p);
  return text;
}

// One axis of a tensor. The stride is in elements, or in bytes inside Range.
struct Axis {
  int64_t count, stride;
};

// The elements of a strided tensor, as runs of contiguous bytes.
class Range {
 public:
  Range(const char* name, const void* data, int64_t element, std::vector<Axis> axes, bool output = false)
      : name(name), output(output), begin_(static_cast<const char*>(data)), run_(element) {
    std::sort(axes.begin(), axes.end(), [](const Axis& a, const Axis& b) { return a.stride < b.stride; });
    span_ = element;
    for (const Axis& axis : axes) {
      if (axis.count == 0) empty_ = true;
      if (axis.count <= 1 || axis.stride == 0) continue;
      const Axis bytes{axis.count, axis.stride * element};
      const bool gap = bytes.stride > span_ || !outer_.empty();
      if (gap && bytes.stride >= span_) {
        outer_.insert(outer_.begin(), bytes);
      } else {  // contiguous or overlapping
        outer_.clear();
        run_ = span_ + (bytes.count - 1) * bytes.stride;
      }
      span_ += (bytes.count - 1) * bytes.stride;
    }
    if (empty_) span_ = 0;
    if (output) written_.resize(size_t(span_));
  }

  bool contains(const void* p, int64_t bytes) const {
    int64_t offset = static_cast<const char*>(p) - begin_;
    if (offset < 0 || offset + bytes > span_) return false;
    for (const Axis& axis : outer_) offset -= std::min(offset / axis.stride, axis.count - 1) * axis.stride;
    return offset + bytes <= run_;
  }

  void mark_written(const void* p, int64_t bytes) {
    const int64_t offset = static_cast<const char*>(p) - begin_;
    for (int64_t i = offset; i < offset + bytes; ++i) {
      if (written_[size_t(i)]) throw Error("a second store to " + address(p) + " in " + name);
      written_[size_t(i)] = true;
    }
    stored_ += bytes;
  }

  // Number of bytes of the tensor's elements that were never written.
  int64_t unwritten() const {
    int64_t total = empty_ ? 0 : run_;
    for (const Axis& axis : outer_) total *= axis.count;
    return total - stored_;
  }

  std::string describe() const { return name + (" [" + address(begin_) + ", " + address(begin_ + span_) + ")"); }

  const char* name;
  bool output;

 private:
  const char* begin_;
  int64_t run_, span_ = 0, stored_ = 0;
  bool empty_ = false;
  std::vector<Axis> outer_;  // in bytes, largest stride first
  std::vector<bool> written_;
};

class GlobalMemory {
 public:
  explicit GlobalMemory(std::vector<Range> ranges) : ranges_(std::move(ranges)) {}

  void check_load(const void* p, int64_t bytes) const {
    if (uintptr_t(p) % uintptr_t(bytes) != 0) misaligned("load", p, bytes);
    for (const Range& range : ranges_) {
      if (!range.output && range.contains(p, bytes)) return;
    }
    outside("load", p, bytes, false);
  }

  void check_store(const void* p, int64_t bytes) {
    if (uintptr_t(p) % uintptr_t(bytes) != 0) misaligned("store", p, bytes);
    for (Range& range : ranges_) {
      if (range.output && range.contains(p, bytes)) return range.mark_written(p, bytes);
    }
    outside("store", p, bytes, true);
  }

  void check_complete() const {
    for (const Range& range : ranges_) {
      if (range.output && range.unwritten() != 0)
        throw Error(std::to_string(range.unwritten()) + " bytes of " + range.name + " were never written");
    }
  }

 private:
  [[noreturn]] static void misaligned(const char* what, const void* p, int64_t bytes) {
    throw Error(std::string("global ") + what + " of " + std::to_string(bytes) + " bytes at " + address(p) +
                ": the address is not a multiple of the size");
  }

  [[noreturn]] void outside(const char* what, const void* p, int64_t bytes, bool output) const {
    std::string text = std::string("global ") + what + " of " + std::to_string(bytes) + " bytes at " + address(p) +
                       " lies outside the elements of";
    for (const Range& range : ranges_) {
      if (range.output == output) text += ' ' + range.describe();
    }
    throw Error(text);
  }

  std::vector<Range> ranges_;
};

// The shared memory of one block, and a race detector that records the accesses to each 32-bit word.
class SharedMemory {
 public:
  static constexpr int64_t kWord = 4;  // bytes; no access is smaller

  SharedMemory(int64_t bytes, Clocks& clocks)
      : clocks_(clocks),
        memory_(size_t(bytes + kAlign)),
        words_(size_t(bytes / kWord)),
        reads_(size_t(bytes / kWord) * size_t(clocks.warps())) {
    begin_ = memory_.data() + (kAlign - uintptr_t(memory_.data()) % kAlign) % kAlign;
  }

  unsigned char* begin() const { return begin_; }
  int64_t offset(const void* p) const { return static_cast<const unsigned char*>(p) - begin_; }

  // thread: index in the block.
  void check_load(const void* p, int64_t bytes, int thread) {
    for (Word *w = find("load", p, bytes), *end = w + bytes / kWord; w != end; ++w) {
      check_arrived("load", p, bytes, *w);
      if (w->write.thread == kNobody) throw Error("shared load" + where(p, bytes) + ": nothing was written there");
      if (!clocks_.orders(w->write, thread)) race("load", p, bytes, w->write.thread, "wrote");
      read(w, thread);
    }
  }

  void check_store(const void* p, int64_t bytes, int thread) {
    for (Word *w = find("store", p, bytes), *end = w + bytes / kWord; w != end; ++w) {
      check_arrived("store", p, bytes, *w);
      check_free("store", p, bytes, *w, thread);
      w->write = clocks_.now(thread);
    }
  }

  // A copy by `thread` to here is on its way: its place holds NaN until end_copy.
  void begin_copy(void* p, int64_t bytes, int thread) {
    for (int64_t at = 0; at < bytes; at += 16) check_store(static_cast<char*>(p) + at, 16, thread);
    std::memset(p, 0xff, size_t(bytes));
    for (Word *w = find_any("copy", p, bytes), *end = w + bytes / kWord; w != end; ++w) w->arriving = true;
  }

  // It has arrived, which is a store by the access's thread then.
  void end_copy(const void* p, int64_t bytes, const Access& as) {
    for (Word *w = find_any("copy", p, bytes), *end = w + bytes / kWord; w != end; ++w) {
      w->arriving = false;
      w->write = as;
    }
  }

 private:
  static constexpr int64_t kAlign = 1024;

  struct Word {
    Access write;           // the last one
    bool arriving = false;  // a copy to here is on its way
  };

  Access* reads_of(const Word* w) { return &reads_[size_t(w - words_.data()) * size_t(clocks_.warps())]; }

  void read(const Word* w, int thread) {
    Access& last = reads_of(w)[thread / kWarp];
    const Access now = clocks_.now(thread);
    const bool others = last.epoch == now.epoch && last.sync == now.sync && last.thread != thread;
    last = now;
    if (others) last.thread = kMany;
  }

  // Throws unless earlier accesses to a word come before what the thread does now.
  void check_free(const char* what, const void* p, int64_t bytes, const Word& w, int thread) {
    if (w.write.thread != kNobody && !clocks_.orders(w.write, thread)) race(what, p, bytes, w.write.thread, "wrote");
    const Access* reads = reads_of(&w);
    for (int warp = 0; warp < clocks_.warps(); ++warp) {
      if (reads[warp].thread != kNobody && !clocks_.orders(reads[warp], thread, warp))
        race(what, p, bytes, reads[warp].thread, "read");
    }
  }

  std::string where(const void* p, int64_t bytes) const {
    return " of " + std::to_string(bytes) + " bytes at offset " + std::to_string(offset(p));
  }

  // The first of the words of a range, of any length.
  Word* find_any(const char* what, const void* p, int64_t bytes) {
    const int64_t at = offset(p), size = int64_t(words_.size()) * kWord;
    if (at < 0 || at + bytes > size)
      throw Error(std::string("shared ") + what + where(p, bytes) + " lies outside the block's " +
                  std::to_string(size) + " bytes");
    return &words_[size_t(at / kWord)];
  }

  Word* find(const char* what, const void* p, int64_t bytes) {
    Word* const first = find_any(what, p, bytes);
    if (offset(p) % bytes != 0)
      throw Error(std::string("shared ") + what + where(p, bytes) + ": the offset is not a multiple of the size");
    return first;
  }

  void check_arrived(const char* what, const void* p, int64_t bytes, const Word& w) const {
    if (w.arriving)
      throw Error(std::string("shared ") + what + where(p, bytes) + ": a copy by thread " +
                  std::to_string(w.write.thread) + " to it has not arrived");
  }

  [[noreturn]] void race(const char* what, const void* p, int64_t bytes, int other, const char* did) const {
    throw Error(std::string("shared ") + what + where(p, bytes) + ": " +
                (other == kMany ? "other threads" : "thread " + std::to_string(other)) + " " + did +
                " it since the last barrier");
  }

  Clocks& clocks_;
  std::vector<unsigned char> memory_;
  std::vector<Word> words_;
  std::vector<Access> reads_;  // (words, warps): the last one of each warp
  unsigned char* begin_;
};

}  // namespace lmf::emulator
