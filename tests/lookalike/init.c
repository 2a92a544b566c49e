/* First process of a phone lookalike. Starts adbd as the shell user, starts it again on SIGUSR1 when it is gone, and reaps every orphan.
 *
 * usage: init PORT
 * When adbd dies, what its shells left running lives on, as long as nothing ends it: harsher than a phone, where init ends the whole service group. */
#define _GNU_SOURCE
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ADBD "/apex/com.android.adbd/bin/adbd"

enum { SHELL_USER = 2000 };

/* The groups of the shell user on a phone: shell, input, log, adb, sdcard_rw, sdcard_r, net_bt_admin, net_bt, inet, net_bw_stats, readproc. */
static const gid_t GROUPS[] = {2000, 1004, 1007, 1011, 1015, 1028, 3001, 3002, 3003, 3006, 3009};

static pid_t start_adbd(const char *port) {
  pid_t child = fork();
  if (child != 0) return child;
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  char listen[64];
  snprintf(listen, sizeof listen, "ADBD_LISTEN=tcp:localhost:%s", port);
  char *environment[] = {"PATH=/product/bin:/apex/com.android.runtime/bin:/system_ext/bin:/system/bin:/system/xbin:/odm/bin:/vendor/bin",
                         "ANDROID_ROOT=/system", "ANDROID_DATA=/data", "ANDROID_STORAGE=/storage", "EXTERNAL_STORAGE=/sdcard",
                         listen, NULL};
  char *arguments[] = {ADBD, NULL};
  setsid();
  if (setgroups(sizeof GROUPS / sizeof *GROUPS, GROUPS) || setresgid(SHELL_USER, SHELL_USER, SHELL_USER) ||
      setresuid(SHELL_USER, SHELL_USER, SHELL_USER) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) {
    perror("init: cannot become the shell user");
    _exit(1);
  }
  execve(ADBD, arguments, environment);
  perror("init: " ADBD);
  _exit(1);
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  sigset_t watched;
  sigemptyset(&watched);
  sigaddset(&watched, SIGCHLD);
  sigaddset(&watched, SIGUSR1);
  sigprocmask(SIG_BLOCK, &watched, NULL);
  pid_t adbd = start_adbd(argv[1]);
  for (;;) {
    int signal = sigwaitinfo(&watched, NULL);
    for (pid_t gone; (gone = waitpid(-1, NULL, WNOHANG)) > 0;)
      if (gone == adbd) adbd = 0;
    if (signal == SIGUSR1 && adbd == 0) adbd = start_adbd(argv[1]);
  }
}
