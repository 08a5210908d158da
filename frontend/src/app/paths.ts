/** The paths of the pages. */

export const PATHS = { dashboard: "/", social: "/social-generator", plan: "/plan" } as const;
