// follow does what follow.c does, to the byte; read that first. It takes the events one by one, so
// nothing of Go's is called on a thread of the library.
package main

// #cgo LDFLAGS: -lblockjob
// #include <blockjob.h>
import "C"
import (
	"fmt"
	"log"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

func check(step string, result C.int64_t) {
	if result < 0 {
		log.Fatalf("follow: %s: %s", step, C.GoString(C.blockjob_last_error()))
	}
}

func main() {
	log.SetFlags(0)
	runtime.LockOSThread() // Go changes threads between calls, but the last error is a thread's.
	if len(os.Args) == 1 {
		log.Fatal("usage: follow unix:PATH...")
	}
	interrupts, stopped := make(chan os.Signal, 1), make(chan bool)
	signal.Notify(interrupts, syscall.SIGINT, syscall.SIGTERM)
	var listener *C.blockjob_listener
	check("make a listener", C.int64_t(C.blockjob_listener_new(&listener)))
	check("pull", C.int64_t(C.blockjob_listener_set_delivery(listener, C.BLOCKJOB_DELIVERY_PULL)))
	check("subscribe", C.blockjob_callback_add(listener, nil, nil,
		C.BLOCKJOB_EVENT_ALL|C.BLOCKJOB_OBSERVE, nil, nil, nil))
	for _, address := range os.Args[1:] {
		var monitor *C.blockjob_monitor
		check(address, C.int64_t(C.blockjob_monitor_new(listener, C.CString(address), &monitor)))
		check(address, C.int64_t(C.blockjob_monitor_set_reconnect(monitor, -1, -1))) // Gone is gone.
		check(address, C.int64_t(C.blockjob_monitor_start(monitor)))
		C.blockjob_monitor_unref(monitor)
	}
	go func() {
		<-interrupts
		C.blockjob_listener_stop(listener) // The wait below ends.
		close(stopped)
	}()
	seen := map[C.int]int{} // How many of each kind.
	var event *C.blockjob_event
	for C.blockjob_listener_next_event(listener, -1, &event) == 0 {
		if _, err := fmt.Println(C.GoString(C.blockjob_event_get_line(event))); err != nil {
			log.Fatal(err)
		}
		seen[C.blockjob_event_get_kind(event)]++
		C.blockjob_event_unref(event)
		if seen[C.BLOCKJOB_EVENT_DISCONNECTED] == len(os.Args)-1 {
			interrupts <- syscall.SIGTERM
		}
	}
	<-stopped
	C.blockjob_listener_free(listener)
	if seen[C.BLOCKJOB_EVENT_CONNECTED] < len(os.Args)-1 {
		os.Exit(1)
	}
}
