/* The process that holds a pod's namespaces: it sleeps, reaps orphans, ends when asked. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void leave(int number) { (void)number; _exit(EXIT_SUCCESS); }
static void reap(int number) { (void)number; while (waitpid(-1, NULL, WNOHANG) > 0) {} }

int main(void) {
    struct sigaction leaving = {.sa_handler = leave};
    struct sigaction reaping = {.sa_handler = reap, .sa_flags = SA_NOCLDSTOP};
    sigaction(SIGINT, &leaving, NULL);
    sigaction(SIGTERM, &leaving, NULL);
    sigaction(SIGCHLD, &reaping, NULL);
    for (;;) pause();
}
