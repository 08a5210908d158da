/** Until it is known who is asking: nothing but that, or what keeps it from being known. */

import { QueryClientProvider } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { Button } from "../design/Button";
import { Notice } from "../design/Notice";
import { ProblemNotice } from "../design/ProblemNotice";
import {
  openSession,
  type Session,
  SignedOut,
  SignInFailed,
  SignInMissing,
} from "../identity/session";
import { SessionContext } from "../identity/session_context";
import { Directed } from "../language/Directed";
import { newQueryClient } from "./queries";
import { Pages } from "./routes";

type State = { session: Session } | { error: unknown } | null;

let opening: Promise<Session> | null = null;

/** Once, also where React renders twice: the code of a sign-in can be used once. */
function openOnce(ended: (why: Error) => void): Promise<Session> {
  opening ??= openSession((why) => {
    opening = null;
    ended(why);
  });
  return opening;
}

export function Opening() {
  const { t } = useTranslation();
  const [state, setState] = useState<State>(null);
  useEffect(() => {
    if (state !== null) return;
    let current = true;
    openOnce((error) => setState({ error })).then(
      (session) => current && setState({ session }),
      (error: unknown) => {
        opening = null;
        if (current) setState({ error });
      },
    );
    return () => {
      current = false;
    };
  }, [state]);

  if (state === null) return <p className="p-8 text-soft">{t("shell.opening")}</p>;
  if ("error" in state) {
    return (
      <main className="mx-auto max-w-2xl p-6">
        <NotOpened error={state.error} retry={() => setState(null)} />
      </main>
    );
  }
  return <Opened session={state.session} />;
}

function NotOpened({ error, retry }: { error: unknown; retry: () => void }) {
  const { t } = useTranslation();
  if (error instanceof SignInMissing) {
    return (
      <Notice kind="warning" title={t("signIn.missing")}>
        {t("signIn.missingDetail")}
      </Notice>
    );
  }
  if (error instanceof SignedOut) {
    const again = <Button onClick={retry}>{t("signIn.again")}</Button>;
    return <Notice kind="note" title={t("signIn.signedOut")} action={again} />;
  }
  if (error instanceof SignInFailed) {
    const again = <Button onClick={retry}>{t("problem.retry")}</Button>;
    return (
      <Notice kind="error" title={t("signIn.failed")} action={again}>
        {error.reason === null
          ? t(`signIn.${error.why}`)
          : t("signIn.declinedWith", { reason: error.reason })}
      </Notice>
    );
  }
  return <ProblemNotice error={error} retry={retry} />;
}

function Opened({ session }: { session: Session }) {
  const queries = useMemo(() => newQueryClient(), []);
  return (
    <SessionContext value={session}>
      <QueryClientProvider client={queries}>
        <Directed>
          <Pages />
        </Directed>
      </QueryClientProvider>
    </SessionContext>
  );
}
