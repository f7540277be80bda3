/*
 * Places other than a short path: a scripted monitor that listens there, or dials there.
 */
#ifndef PLACES_H
#define PLACES_H

#include "scripted_monitor.h"

/* Each listens, and its address says where. */
struct scripted_monitor *monitor_on_abstract(void);
struct scripted_monitor *monitor_on_tcp(const char *host); /* "127.0.0.1" or "::1" */
struct scripted_monitor *monitor_on_long_path(void);       /* in a directory that stays */

/* What listens nowhere, and speaks on what it is given by then_take. */
struct scripted_monitor *monitor_nowhere(void);

/* A listening socket on a free port of 127.0.0.1, with this much room in its queue; its port. */
int listen_on_tcp(const char *host, int queue, int *port);

/* Dials an address as the library writes it, without its options, until somebody listens there. */
int dial(const char *address);

#endif
