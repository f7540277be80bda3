/*
 * libvirt as a peer: a client of its daemon, which holds QEMU's monitor.
 *
 *     libvirt latency raw URI DOMAIN COUNT
 *     libvirt latency block-job URI DOMAIN COUNT
 *
 * `raw` takes the time from QEMU's timestamp to the callback for a monitor event, of jobs that
 * somebody else makes. `block-job` makes the jobs, since libvirt tells of no others: a snapshot of
 * the disk vda, and a pull of what is below it. VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2 has no timestamp, so
 * that it prints when each callback ran, in microseconds of the wall clock: `at`.
 */
#include "client.h"

#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <pthread.h>

static double *times;
static int wanted, timed;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void check(int good, const char *what)
{
    if (!good) {
        fprintf(stderr, "libvirt: %s: %s\n", what, virGetLastErrorMessage());
        exit(1);
    }
}

static void raw(virConnectPtr connection, virDomainPtr domain, const char *event, long long seconds,
                unsigned int microseconds, const char *details, void *opaque)
{
    (void)connection, (void)domain, (void)event, (void)details, (void)opaque;
    if (timed < wanted)
        times[timed++] = since_us(seconds, microseconds);
}

static void block_job(virConnectPtr connection, virDomainPtr domain, const char *disk, int type,
                      int status, void *opaque)
{
    double now = since_us(0, 0);
    (void)connection, (void)domain, (void)disk, (void)type, (void)opaque;
    if (status != VIR_DOMAIN_BLOCK_JOB_COMPLETED) {
        fprintf(stderr, "libvirt: a job ended with status %d\n", status);
        exit(1);
    }
    pthread_mutex_lock(&lock);
    if (timed < wanted)
        times[timed++] = now;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

static void *turn(void *opaque)
{
    (void)opaque;
    for (;;)
        check(virEventRunDefaultImpl() == 0, "the loop");
    return NULL;
}

/* A layer on top of the disk, which a pull makes independent of what is below it. */
static void pull(virDomainPtr domain, int number)
{
    char xml[200];
    snprintf(xml, sizeof xml,
             "<domainsnapshot><name>%d-%d</name>"
             "<disks><disk name='vda' snapshot='external'/></disks></domainsnapshot>",
             (int)getpid(), number);
    virDomainSnapshotPtr snapshot =
        virDomainSnapshotCreateXML(domain, xml,
                                   VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY |
                                       VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA);
    check(snapshot != NULL, "a snapshot");
    virDomainSnapshotFree(snapshot);
    check(virDomainBlockPull(domain, "vda", 0, 0) == 0, "a pull");
}

int main(int argc, char **argv)
{
    if (argc != 6 || strcmp(argv[1], "latency") != 0)
        return 2;
    wanted = atoi(argv[5]);
    times = calloc((size_t)wanted, sizeof *times);
    check(virEventRegisterDefaultImpl() == 0, "the loop");
    virConnectPtr connection = virConnectOpen(argv[3]);
    check(connection != NULL, argv[3]);
    virDomainPtr domain = virDomainLookupByName(connection, argv[4]);
    check(domain != NULL, argv[4]);

    if (strcmp(argv[2], "raw") == 0) {
        check(virConnectDomainQemuMonitorEventRegister(connection, domain, "BLOCK_JOB_COMPLETED",
                                                       raw, NULL, NULL, 0) >= 0,
              "raw events");
        puts("ready");
        fflush(stdout);
        while (timed < wanted)
            check(virEventRunDefaultImpl() == 0, "the loop");
        print_times(times, timed);
    } else {
        pthread_t thread;
        check(virConnectDomainEventRegisterAny(connection, domain, VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2,
                                               VIR_DOMAIN_EVENT_CALLBACK(block_job), NULL,
                                               NULL) >= 0,
              "events of block jobs");
        if (pthread_create(&thread, NULL, turn, NULL) != 0)
            return 1;
        puts("ready");
        fflush(stdout);
        for (int i = 0; i < wanted; i++) {
            pull(domain, i);
            pthread_mutex_lock(&lock);
            while (timed <= i)
                pthread_cond_wait(&changed, &lock);
            pthread_mutex_unlock(&lock);
        }
        fputs("at", stdout);
        for (int i = 0; i < timed; i++)
            printf(" %.0f", times[i]);
        putchar('\n');
    }
    fflush(stdout);
    /* What ends the process is not measured. */
    _exit(0);
}
