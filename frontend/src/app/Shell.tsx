/** What stands around every page: where one is, how much one may still use, and choices. */

import { clsx } from "clsx";
import { ChartColumn, CreditCard, LogOut, Sparkles } from "lucide-react";
import { Suspense, useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import { NavLink, Outlet, useLocation } from "react-router";
import { IconButton } from "../design/Button";
import { Skeleton } from "../design/Skeleton";
import { useSession } from "../identity/session_context";
import { QuotaDisplay } from "../plan/QuotaDisplay";
import { Choices } from "./Choices";
import { PageFailed } from "./PageFailed";
import { PATHS } from "./paths";

export function Shell() {
  const { t } = useTranslation();
  const session = useSession();
  const main = useRef<HTMLElement>(null);
  const { pathname } = useLocation();
  const shown = useRef(pathname);
  useEffect(() => {
    // A new page begins at its beginning, for the eye and for a screen reader.
    if (shown.current === pathname) return;
    shown.current = pathname;
    window.scrollTo(0, 0);
    main.current?.focus({ preventScroll: true });
  }, [pathname]);
  const dashboard = { pathname: PATHS.dashboard, search: useDashboardSearch() };
  const links = [
    { to: dashboard, title: t("shell.dashboard"), icon: ChartColumn },
    { to: PATHS.social, title: t("shell.social"), icon: Sparkles },
    { to: PATHS.plan, title: t("shell.plan"), icon: CreditCard },
  ];
  return (
    <div className="flex min-h-dvh flex-col">
      <a
        href="#main"
        className="sr-only focus:not-sr-only focus:absolute focus:start-2 focus:top-2 focus:z-20 focus:rounded-lg focus:bg-surface focus:p-3"
      >
        {t("shell.skip")}
      </a>
      <header className="z-10 border-line border-b bg-surface print:hidden [@media(min-height:30rem)]:sticky [@media(min-height:30rem)]:top-0">
        <div className="mx-auto flex max-w-7xl flex-wrap items-center gap-x-2 gap-y-1 px-3 py-2 sm:px-6">
          <NavLink
            to={dashboard}
            className="me-2 flex items-center gap-2 rounded-lg font-semibold text-lg"
          >
            <img src="/weir.svg" alt="" className="size-7" />
            <span>Weir</span>
          </NavLink>
          <nav
            aria-label={t("shell.pages")}
            className="order-last flex w-full gap-1 md:order-none md:w-auto"
          >
            {links.map(({ to, title, icon: Icon }) => (
              <NavLink
                key={title}
                to={to}
                end
                className={({ isActive }) =>
                  clsx(
                    "flex min-h-10 min-w-0 flex-auto flex-col items-center justify-center rounded-lg px-1 py-1 text-xs md:flex-none md:flex-row md:gap-2 md:px-2.5 md:text-sm",
                    isActive ? "bg-accent-faint font-medium" : "text-soft hover:bg-sunken",
                  )
                }
              >
                <Icon aria-hidden className="size-4 shrink-0" />
                <span className="max-w-full truncate">{title}</span>
              </NavLink>
            ))}
          </nav>
          <div className="ms-auto flex items-center gap-1">
            <QuotaDisplay />
            <Choices />
            {session.signOut ? (
              <IconButton
                label={t("shell.signOut")}
                icon={<LogOut aria-hidden className="size-5" />}
                onClick={() => void session.signOut?.()}
              />
            ) : null}
          </div>
        </div>
      </header>
      <main
        id="main"
        ref={main}
        tabIndex={-1}
        className="mx-auto w-full max-w-7xl flex-1 px-3 py-5 outline-none sm:px-6"
      >
        {/* One for each page: the way to the others stays, and another page begins anew. */}
        <PageFailed key={pathname}>
          <Suspense fallback={<Skeleton className="h-64" />}>
            <Outlet />
          </Suspense>
        </PageFailed>
      </main>
    </div>
  );
}

/** The view that the dashboard shows, or showed last: who comes back to it finds it as it was. */
function useDashboardSearch(): string {
  const { pathname, search } = useLocation();
  const last = useRef("");
  const here = pathname === PATHS.dashboard;
  useEffect(() => {
    if (here) last.current = search;
  }, [here, search]);
  return here ? search : last.current;
}
