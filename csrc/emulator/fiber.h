// A function that can suspend and resume, on a stack of its own. ucontext creates the stack and _setjmp switches,
// because swapcontext makes a system call for the signal mask each time and lanes switch millions of times.
#pragma once

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstddef>
#include <new>

#if defined(_FORTIFY_SOURCE) && _FORTIFY_SOURCE > 0
#error "compile the emulator with -U_FORTIFY_SOURCE: the fortified longjmp refuses to change stacks"
#endif

namespace lmf::emulator {

class Fiber {
 public:
  using Function = void (*)(void*);

  Fiber() : page_(size_t(sysconf(_SC_PAGESIZE))), bytes_(page_ + kStack) {
    memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory_ == MAP_FAILED) throw std::bad_alloc();
    mprotect(memory_, page_, PROT_NONE);  // guard page: stacks grow down, so too deep a recursion faults here
  }
  ~Fiber() { munmap(memory_, bytes_); }
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Sets the function that the next resume() starts. It must catch its own exceptions.
  void prepare(Function function, void* argument) {
    function_ = function;
    argument_ = argument;
  }

  // Runs the function until it suspends or returns.
  __attribute__((noinline)) void resume() {
    if (_setjmp(outside_) != 0) return;
    if (entered_) _longjmp(inside_, 1);
    entered_ = true;
    getcontext(&context_);
    context_.uc_stack.ss_sp = static_cast<char*>(memory_) + page_;
    context_.uc_stack.ss_size = kStack;
    context_.uc_link = nullptr;
    entering() = this;
    makecontext(&context_, &Fiber::enter, 0);
    setcontext(&context_);
  }

  // Called inside the function: returns to the caller of resume().
  __attribute__((noinline)) void suspend() {
    if (_setjmp(inside_) == 0) _longjmp(outside_, 1);
  }

 private:
  static constexpr size_t kStack = 128 << 10;

  static Fiber*& entering() {
    static Fiber* fiber = nullptr;
    return fiber;
  }

  static void enter() {
    Fiber* self = entering();
    for (;;) {  // the fiber is reused for the next block
      self->function_(self->argument_);
      self->suspend();
    }
  }

  size_t page_, bytes_;
  void* memory_;
  ucontext_t context_;
  jmp_buf inside_, outside_;
  Function function_ = nullptr;
  void* argument_ = nullptr;
  bool entered_ = false;
};

}  // namespace lmf::emulator
