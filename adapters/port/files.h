// SPDX-License-Identifier: MIT
//
// PORT_SOURCE_FILE: inotify watches the files of a port, and the port's queue watches the inotify
// instance.  Whoever collects from the queue and finds it readable turns its events into those of
// event ports, and sends them to the port.

#ifndef KEVENT_ADAPTERS_PORT_FILES_H_
#define KEVENT_ADAPTERS_PORT_FILES_H_

#include <kevent/kevent.h>
#include <port.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <cstdint>

#include "adapters/queues/index.h"

namespace kevent::port {

// Zeroed memory is that of a port without files.  Under the lock of the ports.
class Files {
 public:
  // 0 or an errno; queue is the descriptor of the port.
  int Associate(int queue, file_obj_t* object, int events, void* user);
  int Dissociate(int queue, uintptr_t object);

  bool are_watched() const { return !by_object_.empty(); }

  // Whether an event of the queue says that inotify has something.
  static bool IsInotifys(const ukevent& event) { return event.ptr == &s_inotify; }
  // Reads it.
  void Read(int queue);

  // Whether there is still an event of that name, which is taken then.
  bool Take(uint32_t name, port_event_t* event);
  void Close();

 private:
  // Where a file_obj_t is watched.  It goes with its event.
  struct Watch {
    Watch* next_by_object;
    Watch* next_by_descriptor;
    Watch* next_by_number;
    uint64_t object;
    void* user;
    int events;
    uint64_t descriptor;  // inotify's watch
    uint64_t number;      // names the kevent that is to be its event, paused until then
    int sent_events;      // 0: none was sent
    struct stat seen;
    // The absolute name stands behind the structure.
    char* name() { return reinterpret_cast<char*>(this + 1); }
    const char* name() const { return reinterpret_cast<const char*>(this + 1); }
  };

  // Whether there is an instance of inotify, and the program has not closed its number.
  bool HasInstance() const;
  int Open(int queue);
  void BeginAnew(int queue);
  static Watch* Allocate(const char* name, size_t size);
  // Adds the kevent that is to be the event, and begins to watch: 0 or an errno.  What happens
  // later needs no memory.
  int Prepare(int queue, Watch* watch);
  static ukevent KeventOf(Watch* watch);
  // Begins to watch: 0 or an errno.
  int Begin(Watch* watch);
  void Ignore(const Watch& watch);
  // What has become of the file since it was looked at.
  static int Changes(const Watch& watch, uint32_t of_inotify);
  // Sends what of the events the watch is for.
  void Send(int queue, Watch* watch, int events);
  void Remove(int queue, Watch* watch);
  void Happened(int queue, const inotify_event& event);

  static constinit char s_inotify;  // its address is the cookie of the kevent

  int inotify_;  // and 1; 0: none
  queues::Index<Watch, &Watch::object, &Watch::next_by_object> by_object_;
  queues::Index<Watch, &Watch::number, &Watch::next_by_number> by_number_;
  // Those whose event was not sent.
  queues::Index<Watch, &Watch::descriptor, &Watch::next_by_descriptor> by_descriptor_;
};

}  // namespace kevent::port

#endif  // KEVENT_ADAPTERS_PORT_FILES_H_
